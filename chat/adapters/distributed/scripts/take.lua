-- Takes units from a token bucket, kept as the time at which it will be full again.
-- KEYS: bucket. ARGV: now in ms, units per ms, burst, cost.
-- Returns the ms until the units would be there, as text; '0' if they were taken.
local rate, burst, cost = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full_at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
local missing = (full_at - now) * rate + math.min(cost, burst) - burst
if missing > 1e-6 * burst then
  return string.format('%.17g', missing / rate)
end
full_at = full_at + cost / rate
local lifetime = math.ceil(full_at - now) + 1
if ARGV[1] ~= '' then
  lifetime = lifetime + 60000 -- the caller's clock may stand still, the server's does not
end
redis.call('SET', KEYS[1], string.format('%.17g', full_at), 'PX', lifetime)
return '0'
