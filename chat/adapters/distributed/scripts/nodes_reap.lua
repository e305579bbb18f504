-- KEYS: leases, descriptions. ARGV: now in ms.
-- Removes the nodes whose lease has lapsed and returns their names, each once.
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, node in ipairs(lapsed) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('HDEL', KEYS[2], node)
end
return lapsed
