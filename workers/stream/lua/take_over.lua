-- Makes one holder of `attempt` the only one that may append to a job's stream, and returns everything earlier ones wrote.
--
-- KEYS  1 stream   2 fence {attempt, holder, last}   3 a time in seconds, kept for as long as this Redis is not wiped
--       4 the replication id of the master at that time
-- ARGV  1 attempt   2 time to live of the fence, ms   3 who takes over: a name for one claim
--
-- Returns {1, the number that held it, since when this Redis has forgotten nothing, {batch, …}}; {0} if a newer attempt holds
-- the stream, or another holder of the same number. A Redis that was started again may have forgotten the last second, and
-- a replica that was promoted what its master had not sent it yet. Each promotion makes a new replication id, and a second one
-- says what was before it.
local fence = redis.call('HMGET', KEYS[2], 'attempt', 'holder')
local held, holder, mine = tonumber(fence[1] or 0), fence[2], tonumber(ARGV[1])
if held > mine or (held == mine and holder and holder ~= ARGV[3]) then
  return {0}
end
local now = tonumber(redis.call('TIME')[1])
local info = redis.call('INFO', 'server', 'replication')
local id = string.match(info, 'master_replid:(%x+)') or ''
local was_promoted = string.match(string.match(info, 'master_replid2:(%x+)') or '', '[^0]') ~= nil
redis.call('SET', KEYS[3], now, 'NX')
if redis.call('GET', KEYS[4]) ~= id then
  redis.call('SET', KEYS[4], id)
  if was_promoted then
    redis.call('SET', KEYS[3], now)
  end
end
local started = now - tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0)
local since = math.max(started, tonumber(redis.call('GET', KEYS[3]))) + 1
redis.call('HSET', KEYS[2], 'attempt', mine, 'holder', ARGV[3])
redis.call('HSETNX', KEYS[2], 'last', 0)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local batches = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  table.insert(batches, entry[2][2])
end
return {1, held, since, batches}
