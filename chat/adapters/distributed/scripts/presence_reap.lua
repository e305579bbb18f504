-- Returns who went offline because nobody renewed their leases, as "room user", each once.
return redis.call('SPOP', lapsed, 1000)
