-- KEYS: session. ARGV: prefix of the key of a user's sessions, session, now in seconds, name of this call.
-- Returns 1 if it was alive; also to a call that is repeated, since nobody knew whether it had been carried out.
local found = redis.call('HMGET', KEYS[1], 'user', 'expires', 'revoked_by')
if found[3] == ARGV[4] then
  return 1
end
if not found[1] then
  return 0
end
redis.call('ZREM', ARGV[1] .. found[1], ARGV[2])
redis.call('DEL', KEYS[1])
if tonumber(found[2]) <= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], 'revoked_by', ARGV[4])
redis.call('PEXPIRE', KEYS[1], 10000)
return 1
