-- Makes `attempt` the only one that may append to a job's stream, and returns everything earlier ones wrote.
--
-- KEYS  1 stream   2 fence {attempt, last}
-- ARGV  1 attempt   2 time to live of the fence, ms
--
-- Returns {attempt that holds the fence now, {batch, …}}.
local held = tonumber(redis.call('HGET', KEYS[2], 'attempt') or 0)
local mine = tonumber(ARGV[1])
if held > mine then
  return {held, {}}
end
redis.call('HSET', KEYS[2], 'attempt', mine)
redis.call('HSETNX', KEYS[2], 'last', 0)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local batches = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  table.insert(batches, entry[2][2])
end
return {mine, batches}
