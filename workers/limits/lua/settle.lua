-- Replaces a job's reservation by what it used.
--
-- ARGV  2 job   3 tokens   4 nanos   5 '1' refunds the request   6 member of the zset
--
-- Returns 1, or 0 without effect if the job holds no reservation: already settled, or lost by Redis.
local now = clock()
-- Never below 0: what a job used can't give anything back, whatever a vendor reported.
local job, tokens, nanos = ARGV[2], amount_of(ARGV[3]), amount_of(ARGV[4])
redis.call('ZREM', KEYS[5], ARGV[6])
local held = redis.call('HGET', KEYS[1], job)
if not held then
  return 0
end
redis.call('HDEL', KEYS[1], job)

local money, request_slot = held:match('^(%d+) (%d+)')
local reserved, pairs_held = 0, {}
for slot, amount in held:gmatch('(%d+):(%d+)') do
  reserved = reserved + tonumber(amount)
  table.insert(pairs_held, 1, {tonumber(slot), tonumber(amount)})
end

-- Unused tokens are returned to their slots, the newest first. Tokens beyond the reservation count now: the slot of a long
-- answer's reservation may have left the window already.
local unused = reserved - tokens
for _, pair in ipairs(pairs_held) do
  local back = math.min(unused, pair[2])
  if back > 0 then
    uncount('tokens', pair[1], back, now)
    unused = unused - back
  end
end
if unused < 0 and pairs_held[1][1] > 0 then
  for _, window in ipairs(WINDOWS) do
    if window.unit == 'tokens' then
      count(window, slot_of(now), -unused)
    end
  end
end
if ARGV[5] == '1' then
  uncount('requests', tonumber(request_slot), 1, now)
end

redis.call('HINCRBY', KEYS[2], 'tokens', int(-reserved))
redis.call('HINCRBY', KEYS[2], 'nanos', int(-tonumber(money)))
local owners, day_tokens = owners_of(held)
for _, owner in ipairs(owners) do
  reserve_for(owner, -tonumber(money), -day_tokens)
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
end
table.insert(owners, '')
for _, owner in ipairs(owners) do
  for _, period in ipairs({'day', 'month'}) do
    local budget = read_budget(period, owner, now)
    if budget.is_current then
      redis.call('HINCRBY', budget.key, 'spent', int(nanos))
      redis.call('HINCRBY', budget.key, 'tokens', int(tokens))
    end
  end
end
return 1
