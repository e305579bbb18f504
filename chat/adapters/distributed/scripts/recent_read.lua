-- ARGV: 'after' or 'before', seq, limit.
-- The records with seq > or < that seq, the nearest `limit`, oldest first: {newest seq there is, its epoch, record, …};
-- nothing if there are, or may be, others in the range that are not here.
local first, last = redis.call('LINDEX', KEYS[1], 0), redis.call('LINDEX', KEYS[1], -1)
if not last then
  return false
end
local low, top, seq, limit = seq_of(first), seq_of(last), tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to
if ARGV[1] == 'after' then
  from, to = seq + 1, seq + limit
else
  to = math.min(seq - 1, top)
  from = math.max(1, to - limit + 1)
end
if from < low then
  return false
end
local found = {}
if from <= top and to >= from then
  found = redis.call('LRANGE', KEYS[1], from - low, to - low)
end
table.insert(found, 1, epoch_of(last))
table.insert(found, 1, top)
return found
