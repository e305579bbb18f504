-- What the scripts of presence share. All rooms of one partition are in one slot.
-- KEYS: leases (sorted set: "room user connection" by the ms of its end), lapsed (set: "room user").
-- ARGV: now in ms, prefix of a room's key (hash: user to the number of connections), …
local leases, lapsed, prefix = KEYS[1], KEYS[2], ARGV[2]

-- Takes a connection off its user; true if that was the last one.
local function leave(room, user)
  if redis.call('HINCRBY', prefix .. room, user, -1) > 0 then
    return false
  end
  redis.call('HDEL', prefix .. room, user)
  return true
end

-- Takes out what was not renewed, a thousand at most, and notes who went offline by that.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', leases, member)
  local room, user = string.match(member, '^(%S+) (%S+) ')
  if leave(room, user) then
    redis.call('SADD', lapsed, room .. ' ' .. user)
    redis.call('PEXPIRE', lapsed, 60000)
  end
end
