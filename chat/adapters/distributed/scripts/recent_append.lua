-- ARGV: longest length, lifetime in ms, then records of one epoch, seq rising.
-- Adds what follows the last record. Returns {'ok' | 'dup' | 'hole', the newest seq afterwards}: 'hole' if a record
-- does not follow, so that it and those behind it were left out; 'dup' if all were there. In quiet times all is left out.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {'ok', 0}
end
local last = redis.call('LINDEX', KEYS[1], -1)
if last and epoch_of(last) ~= epoch_of(ARGV[3]) then
  redis.call('DEL', KEYS[1])
  last = false
end
local top = last and seq_of(last) or seq_of(ARGV[3]) - 1
local answer = 'dup'
for i = 3, #ARGV do
  local seq = seq_of(ARGV[i])
  if seq == top + 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i])
    top, answer = seq, 'ok'
  elseif seq > top then
    answer = 'hole'
    break
  end
end
redis.call('LTRIM', KEYS[1], -ARGV[1], -1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {answer, top}
