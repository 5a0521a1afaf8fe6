-- Appends frames to a job's stream and publishes them, unless somebody else has taken the job over.
--
-- KEYS  1 stream   2 fence {attempt, holder, last}
-- ARGV  1 attempt   2 number of the first frame   3 number of the last   4 batch
--       5 time to live of the stream, ms ('' keeps both)   6 time to live of the fence, ms
--       7 the job's channel   8 the submitter's inbox, or ''   9 who writes: a name for one claim
--
-- Returns the number of the stream's last event after the call, and how many received the batch:
--   = ARGV[3]  written (a batch that begins at 1 replaces the whole stream)
--   = -1       refused: a newer attempt holds the stream, or another holder of the same number
--   otherwise  not written, because there would be a gap or a duplicate: the caller continues from that number
--
-- Who does not hold the stream may only replace all of it: it never continues what another one wrote.
local fence = redis.call('HMGET', KEYS[2], 'attempt', 'holder', 'last')
local attempt, holder, last = tonumber(fence[1] or 0), fence[2], tonumber(fence[3] or 0)
local mine, first = tonumber(ARGV[1]), tonumber(ARGV[2])
if attempt > mine or (attempt == mine and holder and holder ~= ARGV[9]) then
  return {-1, 0}
end
if first == 1 then
  if last > 0 then
    redis.call('DEL', KEYS[1])
  end
elseif attempt ~= mine then
  return {0, 0}
elseif last ~= first - 1 then
  return {last, 0}
end
redis.call('XADD', KEYS[1], ARGV[3] .. '-1', 'p', ARGV[4])
redis.call('HSET', KEYS[2], 'attempt', mine, 'holder', ARGV[9], 'last', ARGV[3])
if ARGV[5] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
local received = redis.call('PUBLISH', ARGV[7], ARGV[4])
if ARGV[8] ~= '' then
  received = received + redis.call('PUBLISH', ARGV[8], ARGV[4])
end
return {tonumber(ARGV[3]), received}
