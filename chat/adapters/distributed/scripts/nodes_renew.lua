-- KEYS: leases (sorted set: node by the ms of its end), descriptions (hash: node to bytes).
-- ARGV: now in ms, lease in ms, node, description.
-- Returns 1 if the node had a lease, 0 if it had none any more (or yet).
local until_ms = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[3]) or 0)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return until_ms > now and 1 or 0
