-- ARGV: …, lease in ms, then room, user and connection of each entry.
-- Adds entries or renews them. Returns the numbers of those whose user was not online in the room.
local lease, joined, rooms = tonumber(ARGV[3]), {}, {}
for i = 4, #ARGV, 3 do
  local room, user = ARGV[i], ARGV[i + 1]
  local key = prefix .. room
  local added = redis.call('ZADD', leases, now + lease, room .. ' ' .. user .. ' ' .. ARGV[i + 2])
  if added == 1 or redis.call('HEXISTS', key, user) == 0 then
    if redis.call('HINCRBY', key, user, 1) == 1 then
      redis.call('SREM', lapsed, room .. ' ' .. user)
      joined[#joined + 1] = (i - 4) / 3
    end
  end
  rooms[key] = true
end
-- Nothing outlives a fleet that has gone.
redis.call('PEXPIRE', leases, 2 * lease)
for key in pairs(rooms) do
  redis.call('PEXPIRE', key, 2 * lease)
end
return joined
