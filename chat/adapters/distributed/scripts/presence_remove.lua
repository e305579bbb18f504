-- ARGV: …, then room, user and connection of each entry.
-- Returns the numbers of the entries whose user is not online in the room any more.
local left = {}
for i = 3, #ARGV, 3 do
  local room, user = ARGV[i], ARGV[i + 1]
  if redis.call('ZREM', leases, room .. ' ' .. user .. ' ' .. ARGV[i + 2]) == 1 and leave(room, user) then
    left[#left + 1] = (i - 3) / 3
  end
end
return left
