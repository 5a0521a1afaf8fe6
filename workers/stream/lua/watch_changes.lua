-- Begins to watch a tenant's changes. A mark in the stream makes sure that it has an entry at the place where this begins.
--
-- KEYS  1 watched   2 stream of changes
-- ARGV  1 time to live of both, ms   2 most entries of the stream   3 the id after which the caller goes on, or ''
--
-- Returns {id of the mark, entries after ARGV[3]}; without the entries if some of them may be lost.
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
local missed = nil
if ARGV[3] ~= '' and #redis.call('XRANGE', KEYS[2], '-', ARGV[3], 'COUNT', 1) > 0 then
  missed = redis.call('XRANGE', KEYS[2], '(' .. ARGV[3], '+')
end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'c', '')
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {id, missed}
