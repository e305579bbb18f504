-- KEYS: sessions of the user. ARGV: prefix of the key of a session, now in seconds, lifetime in ms.
-- Ends all of them. Returns those that were alive.
local revoked = {}
for _, session in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. session
  local expires = redis.call('HGET', key, 'expires')
  redis.call('DEL', key)
  redis.call('HSET', key, 'revoked_by', 'user')
  redis.call('PEXPIRE', key, ARGV[3])
  if expires and tonumber(expires) > tonumber(ARGV[2]) then
    revoked[#revoked + 1] = session
  end
end
redis.call('DEL', KEYS[1])
return revoked
