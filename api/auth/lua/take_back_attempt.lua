-- Takes back one attempt that count_attempt.lua counted: it was no wrong guess.
--
-- KEYS  the hash of each counter
-- ARGV  the field of each counter
for i, key in ipairs(KEYS) do
  local attempts = tonumber(redis.call('HGET', key, ARGV[i]) or 0)
  if attempts > 1 then
    redis.call('HINCRBY', key, ARGV[i], -1)
  else
    redis.call('HDEL', key, ARGV[i])
  end
end
return 0
