-- KEYS: session, sessions of the user.
-- ARGV: lifetime in ms, session, user, created, expires (in seconds).
-- Creates a session, or makes one again that was lost; returns 0 if that one was ended, or has expired.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'user', ARGV[3], 'created', ARGV[4], 'expires', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
-- Those that have long expired, by more than this node's clock may be ahead: what is left out, nobody can end.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4] - ARGV[1] / 1000)
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
