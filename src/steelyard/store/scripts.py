"""What Valkey does by itself, each script whole or not at all: ``dispatch.leasing`` said in Lua.

Numbers are exact up to 2⁵³. The stamp carries the server's run: one that was started again may have
forgotten its latest writes, and is built up anew.
"""

PRELUDE = """
local function packed(...)
    local said = {}
    for i, each in ipairs({...}) do said[i] = string.format('%.0f', each) end
    return table.concat(said, ' ')
end
local function numbers(text)
    local found = {}
    for each in string.gmatch(text or '', '%S+') do found[#found + 1] = tonumber(each) end
    return found
end
local function running()
    return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
local function stamp_is(key, wanted)
    return redis.call('GET', key) == wanted .. '@' .. running()
end
local function pot_of(key, purse, until_us)
    local found = numbers(redis.call('HGET', key, purse))
    return found[1] and found or {tonumber(until_us), 0, 0, 0, 0}
end
local function keep(key, purse, pot)
    redis.call('HSET', key, purse, packed(unpack(pot)))
end
local function free(pots, leases, purse, spent, until_us)
    local pot = pot_of(pots, purse, until_us or '0')
    local lease = numbers(redis.call('HGET', leases, purse))
    local held = lease[1] ~= nil
    if not held then lease = {0, 0, 0} end
    keep(pots, purse, {pot[1], pot[2] + spent - lease[1], pot[3] + spent - lease[2],
                       pot[4] - (held and 1 or 0), pot[5] - lease[3]})
    redis.call('HDEL', leases, purse)
end
"""

EXCHANGE = """
local stamp, writers, released, pots, leases = unpack(KEYS)
local wanted, writer, turn = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('SISMEMBER', released, writer) == 1 then return 'released' end
if not stamp_is(stamp, wanted) then return 'closed' end
if turn <= tonumber(redis.call('HGET', writers, writer) or '0') then return {} end
redis.call('HSET', writers, writer, ARGV[3])
local answers = {}
for i = 4, #ARGV, 8 do
    local purse, size, spent = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local floor, least = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
    local best, short = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 7])
    local pot = pot_of(pots, purse, ARGV[i + 6])
    local lease = numbers(redis.call('HGET', leases, purse))
    local new = lease[1] == nil
    if new then lease = {0, 0, 0} end
    spent = math.max(lease[2], spent)
    local granted = math.max(lease[1], spent)
    local left = size - pot[2] - (granted - lease[1])
    local holders = pot[4] + (new and 1 or 0)
    local sought = pot[5] > lease[3]
    local needed = math.max(0, least - granted)
    local after = granted
    if best <= granted then
        after = math.max(best, spent)
    elseif needed <= math.max(0, left) then
        local part = math.floor(math.max(0, left) / (@PORTIONS@ * holders))
        after = granted + math.min(best - granted, math.max(needed, part))
    elseif sought then
        after = math.min(granted, math.max(floor, spent))
    end
    if after >= least then short = 0 end
    pot = {pot[1], pot[2] + after - lease[1], pot[3] + spent - lease[2], holders,
           pot[5] + short - lease[3]}
    keep(pots, purse, pot)
    redis.call('HSET', leases, purse, packed(after, spent, short))
    answers[#answers + 1] = {after, size - pot[2], pot[3], sought and 1 or 0}
end
return answers
"""

JOIN = """
local stamp, writers, released, pots, leases = unpack(KEYS)
local writer, turn = ARGV[1], tonumber(ARGV[2])
if redis.call('SISMEMBER', released, writer) == 1 then return 'released' end
local found = redis.call('GET', stamp) or ''
if string.sub(found, 1, #'@BUILDING@') ~= '@BUILDING@' then return 'open' end
if string.match(found, '@(%x+)$') ~= running() then return 'open' end
if turn <= tonumber(redis.call('HGET', writers, writer) or '0') then return 'late' end
redis.call('HSET', writers, writer, ARGV[2])
for i = 3, #ARGV, 4 do
    local purse, granted, spent = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local pot = pot_of(pots, purse, ARGV[i + 3])
    local lease = numbers(redis.call('HGET', leases, purse))
    local new = lease[1] == nil
    if new then lease = {0, 0, 0} end
    keep(pots, purse, {pot[1], pot[2] + granted - lease[1], pot[3] + spent - lease[2],
                       pot[4] + (new and 1 or 0), pot[5] - lease[3]})
    redis.call('HSET', leases, purse, packed(granted, spent, 0))
end
return 'joined'
"""

RELEASE = """
local stamp, writers, released, pots, leases = unpack(KEYS)
local writer = ARGV[1]
if redis.call('SADD', released, writer) == 0 then return 'known' end
redis.call('HDEL', writers, writer)
local spent, ends, names = {}, {}, {}
for i = 2, #ARGV, 3 do
    names[#names + 1] = ARGV[i]
    spent[ARGV[i]], ends[ARGV[i]] = tonumber(ARGV[i + 1]), ARGV[i + 2]
end
for _, purse in ipairs(redis.call('HKEYS', leases)) do
    local rate = string.sub(purse, 1, #'@RATE@') == '@RATE@'
    if spent[purse] == nil and not rate then names[#names + 1] = purse end
end
for _, purse in ipairs(names) do free(pots, leases, purse, spent[purse] or 0, ends[purse]) end
return 'released'
"""

LAPSE = """
local stamp, writers, released, pots, leases = unpack(KEYS)
for _, writer in ipairs(ARGV) do
    if redis.call('SISMEMBER', released, writer) == 1 then
        for _, purse in ipairs(redis.call('HKEYS', leases .. writer)) do
            free(pots, leases .. writer, purse, 0)
        end
    end
end
return 'done'
"""

STATE = """
local stamp, writers, released = unpack(KEYS)
local found = redis.call('GET', stamp) or ''
if string.match(found, '@(%x+)$') == running() then found = string.match(found, '^(.*)@%x+$') end
return {found, redis.call('HKEYS', writers), redis.call('SMEMBERS', released)}
"""

CLEAR = """
local stamp, writers, released, pots, leases = unpack(KEYS)
local found = redis.call('GET', stamp) or ''
if found ~= ARGV[1] and found ~= ARGV[1] .. '@' .. running() then return 'other' end
for _, writer in ipairs(redis.call('HKEYS', writers)) do redis.call('DEL', leases .. writer) end
for _, writer in ipairs(redis.call('SMEMBERS', released)) do
    redis.call('DEL', leases .. writer)
end
redis.call('DEL', writers, released, pots)
redis.call('SET', stamp, ARGV[2] .. '@' .. running())
return 'cleared'
"""

OPEN = """
local stamp, writers, released = unpack(KEYS)
for i = 3, #ARGV do
    local joined = redis.call('HEXISTS', writers, ARGV[i])
    if joined + redis.call('SISMEMBER', released, ARGV[i]) == 0 then return 'uncounted' end
end
if stamp_is(stamp, ARGV[1]) then redis.call('SET', stamp, ARGV[2] .. '@' .. running()) end
return 'done'
"""

FORGET = """
local stamp, writers, released, pots, leases = unpack(KEYS)
local before, gone = tonumber(ARGV[1]), {}
local all = redis.call('HGETALL', pots)
for i = 1, #all, 2 do
    if numbers(all[i + 1])[1] < before then gone[#gone + 1] = all[i] end
end
for _, purse in ipairs(gone) do
    redis.call('HDEL', pots, purse)
    for _, writer in ipairs(redis.call('HKEYS', writers)) do
        redis.call('HDEL', leases .. writer, purse)
    end
end
return #gone
"""
