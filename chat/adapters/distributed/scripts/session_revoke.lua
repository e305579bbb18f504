-- KEYS: session. ARGV: prefix of the key of a user's sessions, session, now in seconds, name of this call, lifetime in ms,
-- the time in ms for which it is remembered that a session was ended that is not known.
-- Returns 1 if it was alive or may have been; also to a call that is repeated, as nobody knew whether it was carried out.
local found = redis.call('HMGET', KEYS[1], 'user', 'expires', 'revoked_by')
if found[3] then
  return found[3] == ARGV[4] and 1 or 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'revoked_by', ARGV[4])
redis.call('PEXPIRE', KEYS[1], found[1] and ARGV[5] or ARGV[6])
if not found[1] then
  return 1
end
redis.call('ZREM', ARGV[1] .. found[1], ARGV[2])
return tonumber(found[2]) > tonumber(ARGV[3]) and 1 or 0
