-- Reserves a request, its tokens and its money from every limit of the tenant, or from none of them.
--
-- ARGV  2 limits   3 job   4 tokens   5 nanos   6 member of the zset   7 percent of a budget at which to warn
--
-- Returns {-1} if a budget isn't seeded, else an `answer`: 1 granted, 0 refused. A job that holds a reservation keeps it and
-- gets no second one, so the caller may repeat a call whose reply was lost.
local now = clock()
local policies, seeded = read_policies(now)
if not seeded then
  return {-1}
end
local job, tokens, nanos = ARGV[3], amount_of(ARGV[4]), amount_of(ARGV[5])

local held = redis.call('HGET', KEYS[1], job)
if held then
  local sum = 0
  for amount in held:gmatch(':(%d+)') do
    sum = sum + tonumber(amount)
  end
  return answer(1, sum, tonumber(held:match('^%d+')), policies, now)
end

local day_tokens, owners, marked = tokens, {}, {}
for _, policy in ipairs(policies) do
  if policy.owner and policy.owner ~= '' and not marked[policy.owner] then
    marked[policy.owner] = true
    table.insert(owners, policy.owner)
  end
  if policy.unit == 'tokens' then
    -- At most the limit, or a small limit could never be used. At least 1, or a full window would allow everything.
    tokens = math.max(1, math.min(tokens, policy.limit))
  end
end
local taken = fits(policies, {requests = 1, tokens = tokens, nanos = nanos, day_tokens = day_tokens}, now)
if taken then
  take(policies, now)
  local request_slot, token_slot = slot_for('requests', policies, now), slot_for('tokens', policies, now)
  local mark = #owners > 0 and ' ~' .. int(day_tokens) .. '~' .. table.concat(owners, '~') or ''
  redis.call('HSET', KEYS[1], job, int(nanos) .. ' ' .. request_slot .. mark .. ' ' .. token_slot .. ':' .. int(tokens))
  for _, owner in ipairs(owners) do
    reserve_for(owner, nanos, day_tokens)
  end
  redis.call('HINCRBY', KEYS[2], 'tokens', int(tokens))
  redis.call('HINCRBY', KEYS[2], 'nanos', int(nanos))
  redis.call('ZADD', KEYS[5], int(now), ARGV[6])
end

for _, policy in ipairs(policies) do
  if policy.ends and policy.used >= policy.limit * tonumber(ARGV[7]) / 100 then
    policy.warn = redis.call('HSETNX', policy.key, policy.warned, 1) == 1
  end
end
return answer(taken and 1 or 0, taken and tokens or 0, taken and nanos or 0, policies, now)
