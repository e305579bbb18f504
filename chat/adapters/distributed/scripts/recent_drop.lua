-- ARGV: quiet time in ms. A message has changed: forgets all of them, and takes none until what is under way has ended.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
return 1
