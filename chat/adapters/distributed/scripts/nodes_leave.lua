-- KEYS: leases, descriptions. ARGV: …, node.
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
