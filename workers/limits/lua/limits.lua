-- Shared by the scripts of a tenant's limits: the clock, the sliding windows, the budgets, the answer.
-- Prepended to reserve.lua, extend.lua, settle.lua, seed.lua, state.lua and share.lua.
--
-- KEYS  1 jobs             {job: reservation}
--       2 reserved         {tokens, nanos}: the sum of the reservations; {"tokens OWNER", "nanos OWNER"}: those of a key or user
--       3 day, 4 month     {first, spent, tokens, until, warned}: first day of the period, since 1970; money and tokens spent
--                          in it; until when, in ms, these are valid (absent: not seeded); whether warned (and `warned_tokens`)
--                          Those of an owner, which is "key/ID" or "user/ID", are beside the tenant's: "KEY:OWNER".
--       5 open             the reservations of all tenants, by creation time
--       from 6 on          the windows, in the order of the last argument, {slot: count}; a slot is one second
-- ARGV  1 the time in ms, '' for Redis' clock (tests pass a time)
--       last: the windows as JSON, [{name, unit, seconds}, …]; a window counts `requests` or `tokens`
--
-- A reservation is written "nanos slot ~tokens~owner~owner slot:tokens …": its money, the slot of its request, the tokens that
-- count for its owners' days and who these are (left out if there are none), its tokens by slot. Slot 0 is for what no window counts. Numbers are formatted by `int`: Lua itself writes 1e+15.
local WINDOWS = cjson.decode(ARGV[#ARGV])
for i, window in ipairs(WINDOWS) do
  window.key = KEYS[5 + i]
  window.slots = window.seconds + 1 -- the current second and a window before it: no count expires early
end
local DAY_MS = 86400 * 1000

local function int(number)
  return string.format('%.0f', number + 0) -- + 0 turns -0 into 0; Redis does not parse -0
end

-- A sum of tokens or money: from 0 to 2^53, up to which Lua counts exactly.
local function amount_of(text)
  return math.max(0, math.min(tonumber(text) or 0, 2 ^ 53))
end

local function clock()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function slot_of(now)
  return math.floor(now / 1000)
end

-- A slot far in the future has expired like an old one: it is from before the clock was set back.
local function is_live(window, slot, now)
  return math.abs(slot_of(now) - slot) < window.slots
end

local function read_window(window, limit, now)
  window.limit, window.used, window.counts, window.stale = limit, 0, {}, {}
  local flat, first, last = redis.call('HGETALL', window.key), slot_of(now) - window.slots, slot_of(now) + window.slots
  for i = 1, #flat, 2 do
    local slot, count = tonumber(flat[i]), tonumber(flat[i + 1])
    if slot <= first or slot >= last then
      table.insert(window.stale, flat[i])
    elseif count > 0 then
      window.used = window.used + count
      window.counts[slot] = count
      window.oldest = math.min(window.oldest or slot, slot)
    end
  end
  return window
end

local function count(window, slot, amount)
  redis.call('HINCRBY', window.key, int(slot), int(amount))
  redis.call('PEXPIRE', window.key, (window.slots + 1) * 1000)
end

-- Takes back what was counted in a slot, from every window that has counted it.
local function uncount(unit, slot, amount, now)
  for _, window in ipairs(WINDOWS) do
    if window.unit == unit and is_live(window, slot, now) and redis.call('HEXISTS', window.key, int(slot)) == 1 then
      redis.call('HINCRBY', window.key, int(slot), int(-amount))
    end
  end
end

-- The time at which `amount` of the window's count has expired.
local function expired_at(window, amount, now)
  for slot = slot_of(now) - window.slots + 1, slot_of(now) + window.slots - 1 do
    amount = amount - (window.counts[slot] or 0)
    if amount <= 0 then
      return (slot + window.slots) * 1000
    end
  end
  return now + window.slots * 1000 -- a limit of 0 has no such time
end

-- The first day of the month that `day` lies in; howardhinnant.github.io/date_algorithms.html, civil_from_days.
local function month_of(day)
  local z = day + 719468
  local of_era = z % 146097
  local leaps = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leaps) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  return day - (of_year - math.floor((153 * month + 2) / 5))
end

local function budget_key(period, owner)
  local key = period == 'day' and KEYS[3] or KEYS[4]
  return owner == '' and key or key .. ':' .. owner
end

local function read_budget(period, owner, now)
  local day = math.floor(now / DAY_MS)
  local budget = {key = budget_key(period, owner), first = day, ends = (day + 1) * DAY_MS, nanos = 0, tokens = 0}
  if period == 'month' then
    budget.first = month_of(day)
    budget.ends = month_of(budget.first + 31) * DAY_MS
  end
  local stored = redis.call('HMGET', budget.key, 'first', 'spent', 'until', 'tokens')
  budget.is_current = tonumber(stored[1] or -1) == budget.first
  if budget.is_current then
    budget.nanos, budget.tokens = tonumber(stored[2]), tonumber(stored[4] or 0)
    budget.valid_until = stored[3] and tonumber(stored[3])
  end
  return budget
end

-- From here on settlements are counted, and seeding adds the sum from Postgres: a settlement may be counted twice until the
-- budget is seeded again, but none is missed.
local function open_budget(budget, now)
  if not budget.is_current then
    redis.call('DEL', budget.key)
    redis.call('HSET', budget.key, 'first', budget.first, 'spent', 0)
    redis.call('PEXPIRE', budget.key, int(budget.ends - now))
  elseif budget.valid_until then
    redis.call('HDEL', budget.key, 'until', 'tokens')
    redis.call('HSET', budget.key, 'spent', 0)
  end
end

local function reserved_by(owner, what)
  return tonumber(redis.call('HGET', KEYS[2], owner == '' and what or what .. ' ' .. owner) or 0)
end

-- Adds to what an owner's jobs have reserved.
local function reserve_for(owner, nanos, tokens)
  redis.call('HINCRBY', KEYS[2], 'nanos ' .. owner, int(nanos))
  redis.call('HINCRBY', KEYS[2], 'tokens ' .. owner, int(tokens))
end

-- The owners of a reservation, and the tokens that count for their days.
local function owners_of(held)
  local tokens, names = held:match(' ~(%d+)(%S*)')
  local owners = {}
  for owner in (names or ''):gmatch('~([^~]+)') do
    table.insert(owners, owner)
  end
  return owners, tonumber(tokens or 0)
end

-- The limits that are set (ARGV 2: {window: limit, …, budgets: [{name, owner, period, unit, limit}, …]} as JSON), and whether all
-- are seeded.
local function read_policies(now)
  local limits, policies, seeded = cjson.decode(ARGV[2]), {}, true
  for _, window in ipairs(WINDOWS) do
    if limits[window.name] then
      table.insert(policies, read_window(window, limits[window.name], now))
    end
  end
  for _, limit in ipairs(limits.budgets or {}) do
    local budget = read_budget(limit.period, limit.owner, now)
    if not (budget.valid_until and budget.valid_until > now) then
      open_budget(budget, now)
      seeded = false
    end
    budget.name, budget.limit, budget.owner, budget.unit = limit.name, limit.limit, limit.owner, 'day_tokens'
    if limit.unit == 'nanos' then
      budget.unit = 'nanos'
    end
    budget.warned = limit.unit == 'nanos' and 'warned' or 'warned_tokens'
    budget.used = budget[limit.unit] + reserved_by(limit.owner, limit.unit)
    table.insert(policies, budget)
  end
  return policies, seeded
end

-- The running slot if a limited window counts `unit`, else '0'.
local function slot_for(unit, policies, now)
  for _, policy in ipairs(policies) do
    if policy.unit == unit then
      return int(slot_of(now))
    end
  end
  return '0'
end

-- Whether every limit allows what is wanted; those that don't get `retry`, the time at which they may.
local function fits(policies, wants, now)
  local all = true
  for _, policy in ipairs(policies) do
    policy.want = wants[policy.unit] or 0
    local over = policy.used + policy.want - policy.limit
    if policy.want > 0 and over > 0 then
      policy.retry = policy.ends or expired_at(policy, over, now)
      all = false
    end
  end
  return all
end

local function take(policies, now)
  local slot = slot_of(now)
  for _, policy in ipairs(policies) do
    if policy.counts and policy.want > 0 then
      count(policy, slot, policy.want)
      policy.oldest = policy.oldest or slot
      if #policy.stale > 0 then
        redis.call('HDEL', policy.key, unpack(policy.stale))
      end
    end
    policy.used = policy.used + policy.want
  end
end

-- {status, tokens, nanos, {name, limit, used, ms to the reset, ms to the retry or -1, whether to warn}, …}
-- A window resets when its oldest slot expires.
local function answer(status, tokens, nanos, policies, now)
  local all = {status, tokens, nanos}
  for _, policy in ipairs(policies) do
    local reset = policy.ends or ((policy.oldest or slot_of(now)) + policy.slots) * 1000
    local retry = policy.retry and policy.retry - now or -1
    table.insert(all, {policy.name, policy.limit, policy.used, reset - now, retry, policy.warn and 1 or 0})
  end
  return all
end

