-- ARGV: …, room, then users. Returns the numbers of those users who are online.
local key, online = prefix .. ARGV[3], {}
for i = 4, #ARGV do
  if redis.call('HEXISTS', key, ARGV[i]) == 1 then
    online[#online + 1] = i - 4
  end
end
return online
