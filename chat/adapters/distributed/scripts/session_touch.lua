-- KEYS: session. ARGV: prefix of the key of a user's sessions, session, now, lifetime, step (in seconds).
-- Extends a session whose expiry would move by at least `step`. Returns {user, created, expires}, or nothing.
local found = redis.call('HMGET', KEYS[1], 'user', 'created', 'expires')
local now, lifetime = tonumber(ARGV[3]), tonumber(ARGV[4])
if not found[1] or tonumber(found[3]) <= now then
  return false
end
if now + lifetime - found[3] >= tonumber(ARGV[5]) then
  found[3] = string.format('%.17g', now + lifetime)
  local sessions = ARGV[1] .. found[1]
  redis.call('HSET', KEYS[1], 'expires', found[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(lifetime * 1000))
  redis.call('ZADD', sessions, found[3], ARGV[2])
  redis.call('PEXPIRE', sessions, math.ceil(lifetime * 1000))
end
return found
