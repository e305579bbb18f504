-- ARGV: …, room, limit. Returns how many users are online, and up to `limit` of them.
local key, limit = prefix .. ARGV[3], tonumber(ARGV[4])
return {redis.call('HLEN', key), limit > 0 and redis.call('HRANDFIELD', key, limit) or {}}
