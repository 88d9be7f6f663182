-- The life of a Share: start and stop, killed and stopped processes, limits,
-- and what is left behind: nothing.
local core = require "suitkaise.core"
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local raises = fixture.raises

local RESERVED = { "start", "stop", "exit", "clear", "flush", "errors",
                   "has_error", "is_running", "coordinator_pid",
                   "reconnect_all" }

describe("a Share", function()
  after_each(fixture.clean_up)

  it("runs as soon as it is made", function()
    local share = fixture.share()
    assert.is_true(share.is_running)
    assert.is_true(fixture.is_alive(share.coordinator_pid))
    assert.are_not.equal(core.getpid(), share.coordinator_pid)
  end)

  it("stops and starts again with all that is in it", function()
    local share = fixture.share()
    share.n, share.t = 1, { 2 }
    local first = share.coordinator_pid
    assert.is_true(share:stop())
    assert.is_false(share.is_running)
    assert.is_nil(share.coordinator_pid)
    assert.is_false(fixture.is_alive(first))
    assert.equal(share, share:start())
    assert.is_true(share.is_running)
    assert.equal(1, share.n)
    assert.equal(2, share.t[1])
  end)

  it("may be stopped twice and started twice", function()
    local share = fixture.share()
    share:start()
    local pid = share.coordinator_pid
    share:start()
    assert.equal(pid, share.coordinator_pid)
    assert.is_true(share:stop())
    assert.is_true(share:stop())
    assert.is_true(share:exit())
  end)

  it("finishes what is queued before it stops", function()
    local share, Sum = fixture.share(), sk.class "Sum"
    function Sum:init() self.n = 0 end
    function Sum:add() self.n = self.n + 1 end
    share.sum = Sum()
    for _ = 1, 500 do share.sum:add() end
    assert.is_true(share:stop())
    assert.equal(500, share.sum.n)
  end)

  it("is read while it is stopped", function()
    local share = fixture.share()
    share.n, share.t = 1, { u = { 2 } }
    share:stop()
    assert.equal(1, share.n)
    assert.equal(2, share.t.u[1])
    assert.same({ n = 1, t = { u = { 2 } } }, sk.snapshot(share))
  end)

  it("takes writes while it is stopped: they take effect on start", function()
    local share = fixture.share()
    share.n, share.other = 1, 5
    share:stop()
    share.n = 2
    local err = raises("ShareStoppedError", function() return share.n end)
    assert.matches("^share%.n: .*stopped", err.message)
    assert.equal(5, share.other)
    helper.in_child(function() share.child = 3 end)
    share:start()
    assert.equal(2, share.n)
    assert.equal(3, share.child)
  end)

  it("refuses what has to wait while it is stopped, at once", function()
    local share, Cell = fixture.share(), sk.class "Cell"
    function Cell:init() self.n = 0 end
    function Cell:add()
      self.n = self.n + 1
      return self.n
    end
    share.n, share.cell, share.list = 1, Cell(), {}
    share:stop()
    local took = fixture.elapsed(function()
      raises("ShareStoppedError", function() sk.increment(share, "n") end)
      raises("ShareStoppedError", function() share.cell:add() end)
      raises("ShareStoppedError", function() sk.insert(share.list, 1) end)
      raises("ShareStoppedError", function()
        sk.update(share, "n", function(n) return n end)
      end)
    end)
    assert.is_true(took < 10)
    raises("ShareStoppedError", function() share:flush() end)
    raises("ShareStoppedError", function() return share.n end)
    share:start()
    assert.equal(2, share.n)
    assert.equal(1, share.cell.n)
    assert.equal(1, #share.list)
  end)

  it("is stopped with a time limit even when a method does not end",
  function()
    local share, Slow = fixture.share(), sk.class "Slow"
    Slow._shared_meta = { methods = { hang = { returns = false } } }
    function Slow:init() self.n = 0 end
    function Slow:hang() while true do self.n = self.n + 1 end end
    share.slow, share.x = Slow(), 1
    share.slow:hang()
    local took = fixture.elapsed(function()
      assert.is_false(share:stop(0.2))
    end)
    assert.is_true(took < 10)
    assert.is_false(share.is_running)
    assert.equal(1, share.x)
  end)

  it("is emptied", function()
    local share = fixture.share()
    share.n, share.t, share[1] = 1, { 2 }, 3
    local t = share.t
    share:clear()
    assert.same({}, sk.snapshot(share))
    assert.is_nil(share.n)
    assert.is_nil(t[1])
    share.n = 4
    assert.equal(4, share.n)
  end)

  it("has names of its own that cannot be assigned", function()
    local share = fixture.share()
    for _, name in ipairs(RESERVED) do
      local err = raises("ArgumentError", function() share[name] = 1 end)
      assert.matches("share%." .. name .. " is the Share's own", err.message)
      share.t = { [name] = 1 }
      assert.equal(1, share.t[name])
    end
  end)

  it("waits for all that is queued", function()
    local share, Slow = fixture.share(), sk.class "Slow"
    Slow._shared_meta = { methods = { work = { returns = false } } }
    function Slow:init() self.n = 0 end
    function Slow:work()
      local ends = core.now() + 0.05
      while core.now() < ends do self.n = self.n + 1 end
    end
    share.slow = Slow()
    share.slow:work()
    share.slow:work()
    share:flush()
    raises("ShareTimeoutError", function()
      for _ = 1, 5 do share.slow:work() end
      share:flush(0)
    end)
    share:flush(30)
  end)

  it("checks the arguments of its methods", function()
    local share = fixture.share()
    for _, bad in ipairs { -1, "1", {}, 0 / 0 } do
      raises("ArgumentError", function() share:stop(bad) end)
      raises("ArgumentError", function() share:flush(bad) end)
    end
    raises("ArgumentError", function() share.stop() end)
    raises("ArgumentError", function() share.errors({}) end)
    raises("ArgumentError", function() share:reconnect_all(1) end)
    raises("ArgumentError", function() sk.Share { max_byte = 1 } end)
    raises("ArgumentError", function() sk.Share { max_bytes = 1 } end)
    raises("ArgumentError", function() sk.Share { max_processes = 0 } end)
    raises("ArgumentError", function() sk.Share { read_timeout = -1 } end)
    raises("ArgumentError", function() sk.Share(1) end)
    assert.is_true(share.is_running)
  end)

  it("is the same in a coroutine", function()
    local share = fixture.share()
    share.n = 0
    local co = coroutine.wrap(function()
      for i = 1, 3 do
        share.n = i
        coroutine.yield(share.n, sk.increment(share, "n", 10))
      end
    end)
    for i = 1, 3 do
      local a, b = co()
      assert.equal(i, a)
      assert.equal(i + 10, b)
    end
  end)

  if _VERSION == "Lua 5.4" then
    it("is closed by its scope", function()
      local code = [[
        local sk = require "suitkaise"
        local pid
        do
          local share <close> = sk.Share()
          share.n = 1
          pid = share.coordinator_pid
        end
        local ok = pcall(function()
          local share <close> = sk.Share()
          error "inside"
        end)
        print(ok, os.execute("kill -0 " .. pid .. " 2>/dev/null"))]]
      assert.matches("^false%s+nil", helper.run(code))
    end)
  end
end)

describe("a killed process", function()
  after_each(fixture.clean_up)

  it("may be the coordinator: it is replaced, nothing is lost", function()
    local share = fixture.share()
    share.n, share.t = 1, { 2 }
    for i = 1, 5 do
      local pid = fixture.kill_coordinator(share)
      share.n = i
      assert.equal(i, share.n)
      assert.equal(2, share.t[1])
      assert.are_not.equal(pid, share.coordinator_pid)
    end
    assert.same({}, share:errors())
  end)

  it("may be the keeper, or both", function()
    local share = fixture.share()
    share.n = 1
    local keeper = fixture.keeper_of(share.coordinator_pid)
    fixture.signal(keeper, "KILL")
    share.n = 2
    assert.equal(2, share.n)
    local pid = share.coordinator_pid
    fixture.signal(fixture.keeper_of(pid), "KILL")
    fixture.signal(pid, "KILL")
    share.n = 3
    assert.equal(3, share.n)
    share.n = 4
    fixture.kill_coordinator(share)
    assert.equal(4, share.n)
  end)

  -- Killed at random while writes, increments and calls flow.
  it("loses and doubles nothing", function()
    local share, over = fixture.share(), sk.Flag()
    local Sum = sk.class "Sum"
    function Sum:init() self.n, self.list = 0, {} end
    function Sum:add(n) self.n = self.n + n end
    function Sum:push(x)
      self.list[#self.list + 1] = x
      return #self.list
    end
    share.n, share.u, share.sum, share.log, share.list = 0, 0, Sum(), {}, {}
    local killer = helper.fork(function()
      math.randomseed(core.getpid())
      while not over.value do
        over:wait(0.02 + math.random() * 0.1)
        local pid = share.coordinator_pid
        if pid then fixture.signal(pid, "KILL") end
      end
    end)
    local WORKERS, EACH = 3, 60
    fixture.in_children(WORKERS, function(w)
      for i = 1, EACH do
        sk.increment(share, "n")
        sk.update(share, "u", function(u) return u + 1 end)
        share.sum:add(1)
        assert(share.sum:push(i) >= i)
        share.log[w * 1000 + i] = i
        sk.insert(share.list, i)
      end
    end)
    over:set()
    assert.equal(0, (killer:finish()))
    local total = WORKERS * EACH
    assert.equal(total, share.n)
    assert.equal(total, share.u)
    assert.equal(total, share.sum.n)
    assert.equal(total, #share.sum.list)
    assert.equal(total, #share.list)
    local n = 0
    for _ in sk.pairs(share.log) do n = n + 1 end
    assert.equal(total, n)
    assert.same({}, share:errors())
  end)

  it("that dies again and again without doing anything gives up", function()
    local share = fixture.share { read_timeout = 20 }
    local Doomed = sk.class "Doomed"
    function Doomed:init() self.tries = sk.Counter(0) end
    function Doomed:run()
      self.tries:increment()
      fixture.signal(core.getpid(), "KILL")
      core.wait({}, {}, "eager", 5)
      return 1
    end
    share.d, share.n = Doomed(), 1
    local ok, err = pcall(sk.call, share.d, "run")
    assert.is_false(ok)
    assert.is_true(sk.is(err, "ShareDownError"), tostring(err))
    raises("ShareDownError", function() share.n = 2 end)
    assert.equal(1, share.n)
    assert.is_false(share.is_running)
  end)

  it("takes its Share with it: no process is left", function()
    local output = helper.run [[
      local sk = require "suitkaise"
      local share = sk.Share()
      share.n = 1
      local pid = share.coordinator_pid
      local stat = io.open("/proc/" .. ("%d"):format(pid) .. "/stat")
      local keeper = stat:read "*a":match "%) %a (%d+)"
      io.write(("%d %s\n"):format(pid, keeper))
      io.stdout:flush()
      os.execute("kill -KILL " .. ("%d"):format(sk.getpid()) .. "; sleep 5")]]
    local pid, keeper = output:match "^(%d+) (%d+)"
    helper.wait_until(function()
      return not fixture.is_alive(tonumber(pid))
        and not fixture.is_alive(tonumber(keeper))
    end)
  end)

  it("that ends in good order leaves none either", function()
    local output = helper.run [[
      local sk = require "suitkaise"
      local shares = {}
      for i = 1, 3 do shares[i] = sk.Share() end
      for _, share in ipairs(shares) do
        share.n = 1
        print(share.coordinator_pid)
      end]]
    for pid in output:gmatch "%d+" do
      helper.wait_until(function()
        return not fixture.is_alive(tonumber(pid))
      end)
    end
  end)
end)

describe("a stopped coordinator", function()
  after_each(fixture.clean_up)

  it("lets reads end with ShareTimeoutError, and then goes on", function()
    local share = fixture.share { read_timeout = 0.3 }
    share.n, share.other, share.t = 1, 2, { 3 }
    assert.equal(1, share.n)
    local pid = share.coordinator_pid
    fixture.signal(pid, "STOP")
    share.n = 5
    local err = raises("ShareTimeoutError", function() return share.n end)
    assert.matches("^share%.n: not served in time", err.message)
    assert.equal(2, share.other)
    assert.equal(3, share.t[1])
    raises("ShareTimeoutError", function() sk.increment(share, "n") end)
    raises("ShareTimeoutError", function() share:flush() end)
    fixture.signal(pid, "CONT")
    helper.wait_until(function()
      return select(2, pcall(function() return share.n end)) == 6
    end)
  end)

  it("lets writes queue until there is no room, and loses none", function()
    local share = fixture.share { read_timeout = 0.3 }
    share.n = 0
    assert.equal(0, share.n)
    local pid, done = share.coordinator_pid, 0
    fixture.signal(pid, "STOP")
    local err = raises("ShareTimeoutError", function()
      while true do
        share["k" .. done + 1] = ("x"):rep(100)
        done = done + 1
      end
    end)
    assert.matches("^share%.k" .. done + 1 .. ": not served", err.message)
    raises("ShareTimeoutError", function() share.long = ("x"):rep(1e6) end)
    fixture.signal(pid, "CONT")
    helper.wait_until(function() return (pcall(share.flush, share)) end)
    for i = 1, done do assert.equal(100, #share["k" .. i]) end
    assert.is_nil(share["k" .. done + 1])
    assert.is_nil(share.long)
    share.long = ("y"):rep(1e6)
    assert.equal(1e6, #share.long)
    assert.same({}, share:errors())
  end)

  it("is not waited for longer than a wait was told to", function()
    local share = fixture.share()
    share.n = 1
    assert.equal(1, share.n)
    local pid = share.coordinator_pid
    fixture.signal(pid, "STOP")
    share.n = 2
    local took = fixture.elapsed(function()
      assert.is_false(sk.wait_for(share, "n", 2, 0.2))
    end)
    fixture.signal(pid, "CONT")
    assert.is_true(took < 10)
    assert.is_true(sk.wait_for(share, "n", 2, 20))
  end)
end)

describe("limits of a Share", function()
  after_each(fixture.clean_up)

  -- Fill it -> how many fitted, the error.
  local function fill(share, size, prefix)
    local n = 0
    while true do
      local ok, err = pcall(function()
        share[prefix .. n] = ("v"):rep(size)
      end)
      if not ok then return n, err end
      n = n + 1
    end
  end

  for _, size in ipairs { 100, 5000, 100000 } do
    it(("are told by the write that does not fit: %d bytes"):format(size),
    function()
      local share = fixture.share { max_bytes = 2 ^ 20 }
      local n, err = fill(share, size, "k")
      assert.is_true(n > 0)
      assert.is_true(sk.is(err, "ShareFullError"), tostring(err))
      assert.matches("^share%.k" .. n .. ": .*max_bytes", err.message)
      for i = 0, n - 1, 7 do
        assert.equal(size, #share["k" .. i])
      end
      assert.is_nil(share["k" .. n])
      assert.same({}, share:errors())
      for i = 0, n - 1, 2 do share["k" .. i] = nil end
      local again = fill(share, size, "again")
      assert.is_true(again >= math.floor(n / 4))
      share:clear()
      assert.is_true(fill(share, size, "k") >= math.floor(n * 0.9))
    end)
  end

  it("keep a value that is too large out, and what was there in", function()
    local share = fixture.share { max_bytes = 2 ^ 20 }
    share.x = { 1 }
    raises("ShareFullError", function() share.x = ("x"):rep(2 ^ 21) end)
    raises("ShareFullError", function()
      share.x = { { ("x"):rep(2 ^ 20) }, ("x"):rep(2 ^ 20) }
    end)
    assert.equal(1, share.x[1])
    share.x = 2
    assert.equal(2, share.x)
  end)

  it("undo a queued call that does not fit and report it", function()
    local share, Blob = fixture.share { max_bytes = 2 ^ 20 }, sk.class "Blob"
    Blob._shared_meta = { methods = { grow = { returns = false } } }
    function Blob:init() self.data, self.n = "", 0 end
    function Blob:grow(size)
      self.n = self.n + 1
      self.data = ("x"):rep(size)
    end
    share.b = Blob()
    share.b:grow(1000)
    share.b:grow(2 ^ 21)
    share.b:grow(2000)
    assert.equal(2, share.b.n)
    assert.equal(2000, #share.b.data)
    local list = share:errors()
    assert.equal(1, #list)
    assert.is_true(sk.is(list[1], "ShareFullError"), tostring(list[1]))
    assert.matches("^share%.b: ", list[1].message)
    raises("ShareFullError", function() sk.call(share.b, "grow", 2 ^ 21) end)
    assert.equal(2, share.b.n)
  end)

  it("let no more processes write than max_processes", function()
    local share, over = fixture.share { max_processes = 3 }, sk.Flag()
    local children, ready = {}, sk.Counter(0)
    share.t = {}
    for i = 1, 2 do
      children[i] = helper.fork(function()
        share.t[i] = i
        ready:increment()
        over:wait(60)
      end)
    end
    helper.wait_until(function() return ready.value == 2 end)
    helper.in_child(function()
      local err = raises("TooManyProcessesError", function()
        share.x = 1
      end)
      assert(err.message:match "max_processes")
      assert(share.t[1] == 1)
    end)
    over:set()
    for i = 1, 2 do assert.equal(0, (children[i]:finish())) end
    helper.in_child(function() share.x = 2 end)
    assert.equal(2, share.x)
  end)

  it("let 64 processes use it at once", function()
    local share, ready = fixture.share(), sk.Counter(0)
    share.n = 0
    fixture.in_children(63, function()
      ready:increment()
      helper.wait_until(function() return ready.value == 63 end, 60)
      for _ = 1, 5 do sk.increment(share, "n") end
      assert(share.n >= 5)
    end)
    assert.equal(315, share.n)
  end)

  it("are none for how many Shares there are", function()
    local shares = {}
    for i = 1, 50 do
      shares[i] = fixture.share()
      shares[i].n = i
    end
    for i = 1, 50 do assert.equal(i, shares[i].n) end
  end)
end)

describe("memory", function()
  after_each(fixture.clean_up)

  local function resident(pid)
    local file = io.open(("/proc/%d/statm"):format(pid))
    local pages = file:read "*a":match "^%d+ (%d+)"
    file:close()
    return tonumber(pages) * 4096
  end

  it("stays constant while values are replaced by others", function()
    local share = fixture.share()
    local states = require("suitkaise.share.proxy").states
    local handle = states[share].root.handle
    local function overwrite(n)
      for i = 1, n do
        share["k" .. i % 50] = ("x"):rep(i * 7919 % 3000)
        if i % 10 == 0 then share.t = { i, { i }, ("y"):rep(i % 500) } end
      end
      share:flush()
    end
    overwrite(30000)
    local _, _, _, heap = handle:stats()
    local before = resident(share.coordinator_pid)
    overwrite(60000)
    local _, _, _, after = handle:stats()
    assert.is_true(after <= heap * 1.25, heap .. " -> " .. after)
    assert.is_true(resident(share.coordinator_pid) <= before + 2 ^ 22)
  end)

  it("of proxies is given back while a large table is walked", function()
    local share, wide = fixture.share(), {}
    for i = 1, 20000 do wide[i] = { i } end
    share.t = wide
    wide = nil
    collectgarbage()
    collectgarbage()
    local before, most = collectgarbage "count", 0
    local t = share.t
    for i = 1, 20000 do
      assert(t[i][1] == i)
      if i % 1000 == 0 then
        collectgarbage()
        most = math.max(most, collectgarbage "count" - before)
      end
    end
    assert.is_true(most < 6000, most .. " KB")
    assert.is_nil(wide)
  end)

  it("of objects that come and go is given back", function()
    local share, Thing = fixture.share(), sk.class "Thing"
    function Thing:init() self.data = ("x"):rep(1000) end
    function Thing:size() return #self.data end
    local function round(n)
      for i = 1, n do
        local key = "thing" .. i
        share[key] = Thing()
        assert(share[key]:size() == 1000)
        share[key] = nil
      end
    end
    round(1500)
    local before = resident(share.coordinator_pid)
    round(3000)
    assert.is_true(resident(share.coordinator_pid) <= before + 2 ^ 23)
  end)

  it("is collected all the time and nothing goes wrong", function()
    local share, Cell = fixture.share(), sk.class "Cell"
    function Cell:init() self.n, self.t = 0, {} end
    function Cell:add()
      collectgarbage()
      self.n = self.n + 1
      self.t = { self.n }
      return self.n
    end
    local pause = collectgarbage("setpause", 1)
    share.c, share.t = Cell(), { u = { v = {} } }
    for i = 1, 50 do
      assert.equal(i, share.c:add())
      assert.equal(i, share.c.t[1])
      share.t.u.v[i] = { i }
      collectgarbage()
      assert.equal(i, share.t.u.v[i][1])
    end
    collectgarbage("setpause", pause)
  end)
end)

describe("a Share that nobody holds", function()
  after_each(helper.nothing_left)

  it("is closed by the collector: no process, segment or descriptor",
  function()
    local function use()
      local share = sk.Share()
      share.n, share.t = 1, { { { 2 } } }
      local Cell = sk.class "Cell"
      function Cell:init() self.n = 0 end
      function Cell:add()
        self.n = self.n + 1
        return self.n, share.n
      end
      share.c = Cell()
      assert(share.c:add() == 1 and share.t[1][1][1] == 2)
      return share.coordinator_pid
    end
    local pid = use()
    if rawget(_G, "jit") then jit.flush() end
    for _ = 1, 4 do collectgarbage() end
    helper.wait_until(function() return not fixture.is_alive(pid) end)
  end)

  it("may be open when the Lua state is closed", function()
    assert.equal("1\n", helper.run [[
      local sk = require "suitkaise"
      share = sk.Share()
      share.n = 1
      share.t = {}
      t = share.t
      print(share.n)]])
  end)
end)

describe("a Share in other processes", function()
  after_each(fixture.clean_up)

  it("is used by a Pool's tasks that captured it", function()
    local share = fixture.share()
    share.n, share.t = 0, {}
    local t = share.t
    local pool = sk.Pool { workers = 3 }
    local results = pool:map(function(i)
      sk.increment(share, "n", i)
      t[i] = i * i
      return share.n >= i and t[i]
    end, { 1, 2, 3, 4, 5 })
    pool:close()
    assert.same({ 1, 4, 9, 16, 25, n = 5 }, results)
    assert.equal(15, share.n)
    assert.same({ 1, 4, 9, 16, 25 }, sk.snapshot(share.t))
  end)

  it("is used by a Pool that was made before it", function()
    local pool = sk.Pool { workers = 2 }
    pool:map(function(x) return x end, { 1, 2 })
    local share = fixture.share()
    share.n, share.t = 0, {}
    local results = pool:map(function(i)
      share.t[i] = i
      return sk.increment(share, "n") > 0 and share.t[i]
    end, { 1, 2, 3, 4 })
    pool:close()
    assert.same({ 1, 2, 3, 4, n = 4 }, results)
    assert.equal(4, share.n)
    assert.equal(4, #share.t)
  end)

  it("may be made by a task and come back as its result", function()
    local pool = sk.Pool { workers = 1 }
    local results = pool:map(function()
      made_in_a_task = sk.Share() -- luacheck: ignore
      made_in_a_task.n = 5 -- luacheck: ignore
      return made_in_a_task -- luacheck: ignore
    end, { 1 })
    local share = results[1]
    assert.equal(5, share.n)
    share.n = 6
    assert.equal(6, share.n)
    share:stop()
    pool:close()
  end)

  it("is used by children of children", function()
    local share = fixture.share()
    share.n = 0
    fixture.in_children(2, function()
      sk.increment(share, "n")
      helper.in_child(function()
        sk.increment(share, "n")
        helper.in_child(function() sk.increment(share, "n") end)
      end)
      sk.increment(share, "n")
    end)
    assert.equal(8, share.n)
  end)

  it("may be made in a child", function()
    helper.in_child(function()
      local share = sk.Share()
      share.n = 1
      helper.in_child(function() share.n = 2 end)
      assert(share.n == 2)
      share:stop()
    end)
  end)

  it("may be stopped and started by a child", function()
    local share = fixture.share()
    share.n = 1
    helper.in_child(function()
      share:stop()
      share.n = 2
      share:start()
      assert(share.n == 2)
    end)
    share.n = 3
    assert.equal(3, share.n)
  end)

  it("goes on when the child that started it ends", function()
    local share = fixture.share()
    share.n = 1
    share:stop()
    helper.in_child(function()
      share:start()
      share.n = 2
    end)
    assert.equal(2, share.n)
    fixture.kill_coordinator(share)
    share.n = 3
    assert.equal(3, share.n)
  end)

  it("gives back a task's result that is part of it as a proxy", function()
    local share = fixture.share()
    share.t = { u = { 1 } }
    local pool = sk.Pool { workers = 1 }
    local results = pool:map(function() return share.t.u end, { 1 })
    pool:close()
    results[1][1] = 2
    assert.equal(2, share.t.u[1])
  end)
end)
