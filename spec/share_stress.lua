-- A Share in a storm of signals: writers, readers and callers work while they,
-- the coordinator and the keeper are killed, stopped and continued at random.
-- Every acknowledged write is counted exactly once, no reader waits for long
-- while somebody can serve it, nothing is left. SECONDS says for how long.

local core = require "suitkaise.core"
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local SECONDS = tonumber(os.getenv "SECONDS") or 60
local OVERWRITES = tonumber(os.getenv "OVERWRITES") or 1e7
local WORKERS = 4
local READERS = 2

local Sum = sk.class "Sum"
function Sum:init() self.n, self.list = 0, {} end
function Sum:add(n) self.n = self.n + n end
function Sum:add_and_get(n)
  self.n = self.n + n
  return self.n
end
function Sum:push(worker, i)
  local last = self.list[worker] or 0
  if last + 1 ~= i then self.gap = worker .. ": " .. last .. ", " .. i end
  self.list[worker] = i
end

local function sleep(seconds)
  core.wait({}, {}, "eager", seconds)
end

-- ---- workers ----

-- A worker says in Counters what it has begun and what was acknowledged: what
-- happened is between the two, and they differ by one at most when it is
-- killed.
local function new_books()
  local books = {}
  for _, kind in ipairs { "add", "increment", "update", "method", "waited",
                          "insert" } do
    books[kind] = { begun = sk.Counter(0), done = sk.Counter(0) }
  end
  return books
end

local ACTIONS = {
  increment = function(share) sk.increment(share, "n") end,
  add = function(share) sk.increment(share.t, "n") end,
  update = function(share)
    sk.update(share, "u", function(u) return u + 1 end)
  end,
  method = function(share) share.sum:add(1) end,
  waited = function(share) share.waited:add_and_get(1) end,
  insert = function(share) sk.insert(share.items, "x") end,
}

local TOTALS = {
  increment = function(share) return share.n end,
  add = function(share) return share.t.n end,
  update = function(share) return share.u end,
  method = function(share) return share.sum.n end,
  waited = function(share) return share.waited.n end,
  insert = function(share) return #share.items end,
}

local KINDS = {}
for kind in pairs(ACTIONS) do KINDS[#KINDS + 1] = kind end
table.sort(KINDS)

local function work(share, books, over, worker)
  math.randomseed(core.getpid())
  local i = share.seq[worker] or 0
  while not over.value do
    local kind = KINDS[math.random(#KINDS)]
    local book = books[kind]
    book.begun:increment()
    ACTIONS[kind](share)
    book.done:increment()
    i = i + 1
    share.seq[worker] = i
    assert(share.seq[worker] == i)
  end
end

-- ---- readers ----

-- What is read never goes back; how long the slowest read took, in ms.
local function read(share, over, slowest, stopped)
  local last = { 0, 0, 0 }
  while not over.value do
    local before = core.now()
    local quiet = stopped.value
    local now = { share.n, share.sum.n, share.t.n }
    local took = core.now() - before
    -- nobody can serve while the coordinator is stopped
    if not quiet and not stopped.value and took * 1000 > slowest.value then
      slowest:set(math.floor(took * 1000))
    end
    for k = 1, 3 do
      assert(now[k] >= last[k], ("%d went back from %g to %g")
        :format(k, last[k], now[k]))
    end
    last = now
  end
end

-- ---- the storm ----

local function strike_server(share, stopped)
  local pid = share.coordinator_pid
  if not pid then return end
  local how = math.random(6)
  if how == 1 then
    local keeper = fixture.keeper_of(pid)
    if keeper and keeper > 1 then fixture.signal(keeper, "KILL") end
  end
  if how <= 4 then return fixture.signal(pid, "KILL") end
  stopped:set()
  fixture.signal(pid, "STOP")
  sleep(0.2)
  fixture.signal(pid, "CONT")
  sleep(0.05)
  stopped:clear()
end

local function storm(share, over, stopped)
  math.randomseed(core.getpid())
  while not over.value do
    over:wait(math.random() * 0.3)
    strike_server(share, stopped)
  end
end

-- A worker that was killed is replaced.
local function replace(children, start)
  local victim = math.random(#children)
  local child = children[victim]
  if math.random() < 0.3 then
    fixture.signal(child.pid, "STOP")
    sleep(0.05)
    fixture.signal(child.pid, "CONT")
    return
  end
  child:kill()
  child:finish()
  children[victim] = start(victim)
end

-- What is in the share is what was done: a write whose worker was killed
-- before it could say so may be there or not.
local function check_books(share, books, deaths)
  local done, happened = 0, 0
  for _, kind in ipairs(KINDS) do
    local n, book = TOTALS[kind](share), books[kind]
    assert.is_true(n >= book.done.value, ("%s: %g there, %d acknowledged")
      :format(kind, n, book.done.value))
    assert.is_true(n <= book.begun.value, ("%s: %g there, %d begun")
      :format(kind, n, book.begun.value))
    done, happened = done + book.done.value, happened + n
  end
  assert.is_true(happened - done <= deaths)
  return done
end

describe("a Share in a storm of signals", function()
  after_each(fixture.clean_up)

  it("counts every acknowledged write exactly once", function()
    math.randomseed(core.getpid())
    local share, over, stopped = fixture.share(), sk.Flag(), sk.Flag()
    local books, slowest = new_books(), sk.Counter(0)
    share.n, share.u, share.t, share.items = 0, 0, { n = 0 }, {}
    share.sum, share.waited, share.seq = Sum(), Sum(), {}
    local function start(i)
      return helper.fork(work, share, books, over, i)
    end
    local workers, readers = {}, {}
    for i = 1, WORKERS do workers[i] = start(i) end
    for i = 1, READERS do
      readers[i] = helper.fork(read, share, over, slowest, stopped)
    end
    local striker = helper.fork(storm, share, over, stopped)
    local ends, deaths = core.now() + SECONDS, 0
    while core.now() < ends do
      sleep(0.2 + math.random() * 0.5)
      replace(workers, start)
      deaths = deaths + 1
    end
    over:set()
    assert.equal(0, (striker:finish(60)))
    for _, list in ipairs { workers, readers } do
      for _, child in ipairs(list) do
        assert.equal(0, (child:finish(60)))
      end
    end
    share:flush()
    local done = check_books(share, books, deaths)
    assert.same({}, share:errors())
    local stats = { require("suitkaise.share.proxy").states[share].root
      .handle:stats() }
    io.write(("%d writes, %d restarts, %d workers killed or stopped, slowest "
      .. "read %d ms\n"):format(done, stats[6], deaths, slowest.value))
    assert.is_true(done > 0 and stats[6] > 0)
    assert.is_true(slowest.value < 2000)
  end)

  it("keeps its memory over many overwrites of varying sizes", function()
    local share = fixture.share()
    local handle = require("suitkaise.share.proxy").states[share].root.handle
    local text = ("x"):rep(4096)
    local function overwrite(n)
      for i = 1, n do share[i % 64] = text:sub(1, i * 7919 % 1000) end
      share:flush()
    end
    overwrite(100000)
    local before = select(4, handle:stats())
    overwrite(OVERWRITES)
    local after = select(4, handle:stats())
    assert.is_true(after <= before * 1.25, before .. " -> " .. after)
  end)
end)
