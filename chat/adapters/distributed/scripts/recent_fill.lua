-- ARGV: longest length, lifetime in ms, 1 if the records reach up to the newest message, then records as for appending.
-- Joins them to what is there, at either end, if they touch. Returns the length.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local longest = tonumber(ARGV[1])
local first, last = redis.call('LINDEX', KEYS[1], 0), redis.call('LINDEX', KEYS[1], -1)
if last and epoch_of(last) ~= epoch_of(ARGV[4]) then
  redis.call('DEL', KEYS[1])
  first, last = false, false
end
if not last then
  if ARGV[3] ~= '1' then
    return 0
  end
  first, last = seq_of(ARGV[4]), seq_of(ARGV[4]) - 1
else
  first, last = seq_of(first), seq_of(last)
end
for i = 4, #ARGV do
  if seq_of(ARGV[i]) == last + 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i])
    last = last + 1
  end
end
for i = #ARGV, 4, -1 do
  if seq_of(ARGV[i]) == first - 1 and last - first + 1 < longest then
    redis.call('LPUSH', KEYS[1], ARGV[i])
    first = first - 1
  end
end
redis.call('LTRIM', KEYS[1], -longest, -1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('LLEN', KEYS[1])
