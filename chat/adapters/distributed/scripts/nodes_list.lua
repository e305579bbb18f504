-- KEYS: leases, descriptions. ARGV: now in ms.
-- Returns the descriptions of the nodes whose lease holds.
local found = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  found[#found + 1] = redis.call('HGET', KEYS[2], node) or nil
end
return found
