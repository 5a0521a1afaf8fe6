-- Notes which rows of a tenant have changed, if anybody is watching or was until a while ago.
--
-- KEYS  1 watched: there while somebody watches   2 stream of changes
-- ARGV  1 channel   2 the changes   3 most entries of the stream   4 its time to live, ms
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'c', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PUBLISH', ARGV[1], id .. ' ' .. ARGV[2])
return id
