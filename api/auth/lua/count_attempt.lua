-- Counts one attempt to sign in, in all counters or in none, before the password is checked: however many come at once, no
-- more than the limit pass.
--
-- KEYS    a hash {field: attempts} of each counter; a hash may have several
-- ARGV    the window in seconds; then for each counter its field and its limit
-- Returns {0, 0}, or the number of the first counter that is full and the seconds until it is empty.
local window = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local attempts = tonumber(redis.call('HGET', key, ARGV[2 * i]) or 0)
  if attempts >= tonumber(ARGV[2 * i + 1]) then
    return {i, redis.call('TTL', key)}
  end
end
for i, key in ipairs(KEYS) do
  redis.call('HINCRBY', key, ARGV[2 * i], 1)
  if redis.call('TTL', key) < 0 then
    redis.call('EXPIRE', key, window)
  end
end
return {0, 0}
