-- Adds tokens and money to a job's reservation, in the running slot, or changes nothing.
--
-- ARGV  2 limits   3 job   4 tokens   5 nanos
--
-- Returns {-1} if a budget isn't seeded, {1} if granted, {0} if refused. A job without a reservation gets {1} and takes
-- nothing: Redis has lost it, and a running answer isn't stopped for that.
local now = clock()
local job, tokens, nanos = ARGV[3], amount_of(ARGV[4]), amount_of(ARGV[5])
local held = redis.call('HGET', KEYS[1], job)
if not held then
  return {1}
end
local policies, seeded = read_policies(now)
if not seeded then
  return {-1}
end
if not fits(policies, {tokens = tokens, nanos = nanos, day_tokens = tokens}, now) then
  return {0}
end
take(policies, now)
local slot = slot_for('tokens', policies, now)
local money, rest, last, amount = held:match('^(%d+)(.*) (%d+):(%d+)$')
if last == slot then
  amount = int(amount + tokens) -- one entry per slot, or the reservation of a long answer would grow with every step
else
  rest, amount = rest .. ' ' .. last .. ':' .. amount, int(tokens)
end
local owners, day_tokens = owners_of(held)
if #owners > 0 then
  rest = rest:gsub('~%d+', '~' .. int(day_tokens + tokens), 1)
  for _, owner in ipairs(owners) do
    reserve_for(owner, nanos, tokens)
  end
end
redis.call('HSET', KEYS[1], job, int(money + nanos) .. rest .. ' ' .. slot .. ':' .. amount)
redis.call('HINCRBY', KEYS[2], 'tokens', int(tokens))
redis.call('HINCRBY', KEYS[2], 'nanos', int(nanos))
return {1}
