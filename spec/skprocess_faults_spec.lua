-- Skprocess when processes are killed and stopped, misbehave, or cannot be
-- had.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function process(hooks, config)
  local Class = sk.Skprocess:extend "Sample"
  for name, hook in pairs(hooks) do Class[name] = hook end
  local p = Class()
  for name, value in pairs(config or {}) do p.config[name] = value end
  return p
end

local function nothing() end

local function send(signal, pid)
  assert(os.execute("kill -" .. signal .. " " .. pid))
end

local function parent_of(pid)
  local file = assert(io.open("/proc/" .. pid .. "/stat"))
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "%) %a (%d+)")
end

-- Says "ready" and listens.
local function listener(config)
  return process({
    __run__ = function(self)
      if self.current_run == 0 then self:tell "ready" end
      self:listen()
    end,
    __result__ = function() return "done" end,
  }, config)
end

describe("Skprocess under faults", function()
  after_each(helper.nothing_left)

  it("goes on when its process was stopped and continued", function()
    for lives = 1, 2 do
      local p = listener{ lives = lives }
      p:start()
      assert.equal("ready", p:listen(20))
      send("STOP", p.pid)
      assert.is_false(p:wait(0.05))
      p:stop()
      assert.is_false(p:wait(0.05))
      send("CONT", p.pid)
      assert.equal("done", p:result(20))
    end
  end)

  it("is killed although it is stopped", function()
    for lives = 1, 2 do
      local p = listener{ lives = lives }
      p:start()
      assert.equal("ready", p:listen(20))
      local pid = p.pid
      send("STOP", pid)
      p:kill()
      assert.is_true(core.gone(pid))
    end
  end)

  it("ends with a named error when its monitor is killed", function()
    local p = listener{ lives = 3 }
    p:start()
    assert.equal("ready", p:listen(20))
    local pid = p.pid
    send("KILL", parent_of(pid))
    local ok, err = pcall(p.result, p, 20)
    assert.is_false(ok)
    assert.is_true(sk.is(err, "ProcessDiedError"))
    assert.equal(9, err.signal)
    assert.matches("its monitor died", tostring(err))
    helper.wait_until(function() return core.gone(pid) end)
    assert.equal("done", (function()
      p.config.runs = 0
      return p:run()
    end)())
  end)

  it("is killed although its monitor is stopped", function()
    local p = listener{ lives = 3 }
    p:start()
    assert.equal("ready", p:listen(20))
    local pid = p.pid
    send("STOP", parent_of(pid))
    p:kill()
    helper.wait_until(function() return core.gone(pid) end)
  end)

  it("keeps its limits although its monitor is stopped", function()
    local p = process({ __run__ = function(self)
      send("STOP", parent_of(self.pid))
      while true do end
    end }, { time_limit = 0.2 })
    local begun = core.now()
    local ok, err = pcall(p.run, p)
    assert.is_false(ok)
    assert.is_true(sk.is(err, "ProcessTimeoutError"))
    assert.is_true(core.now() - begun < 5)
  end)

  it("outlives the end of other processes", function()
    local kept = listener()
    kept:start()
    for _ = 1, 20 do process({ __run__ = nothing }, { runs = 1 }):run() end
    assert.equal("ready", kept:listen(20))
    kept:stop()
    assert.equal("done", kept:result(20))
  end)

  it("survives a hook that closes all descriptors", function()
    for lives = 1, 2 do
      local p = process({
        __run__ = function(self)
          os.execute("true") -- what it needs is loaded
          local ok, ffi = pcall(require, "ffi")
          if ok then
            pcall(ffi.cdef, "int close(int);")
            for fd = 0, 200 do ffi.C.close(fd) end
          else
            io.stdout:close()
            io.stderr:close()
          end
          self:tell "told without any"
        end,
        __result__ = function() return ("x"):rep(1e6) end,
      }, { runs = 2, lives = lives })
      p:start()
      assert.equal("told without any", p:listen(20))
      assert.equal("told without any", p:listen(20))
      assert.equal(1e6, #p:result(20))
    end
  end)

  it("writes 100 MB to standard output", function()
    local output = helper.run [[
      local sk = require "suitkaise"
      local Writer = sk.Skprocess:extend "Writer"
      function Writer:__run__() io.write(("x"):rep(1e6)) end
      function Writer:__result__() return "written" end
      local w = Writer()
      w.config.runs, w.config.lives = 100, 2
      print(w:run())
    ]]
    assert.equal(1e8 + #"written\n", #output)
    assert.equal("xwritten\n", output:sub(-9))
  end)

  it("gives a clear error when there is no descriptor left, and goes on",
  function()
    local output = helper.run([[
      local sk = require "suitkaise"
      local Class = sk.Skprocess:extend "Sample"
      function Class:__run__() self:listen() end
      function Class:__result__() return "done" end
      local running = {}
      local ok, err
      repeat
        local p = Class()
        p.config.lives = #running % 2 + 1
        ok, err = pcall(p.start, p)
        if ok then running[#running + 1] = p end
      until not ok or #running > 100
      print(sk.is(err, "ProcessError"),
            tostring(err):match "Too many open files")
      print(#running > 20)
      for _, p in ipairs(running) do p:stop() end
      local done = 0
      for _, p in ipairs(running) do
        if p:result(20) == "done" then done = done + 1 end
      end
      print(done == #running)
      local p = Class()
      p.config.runs = 0
      print(p:run())
    ]], nil, "ulimit -n 64")
    assert.equal("true\tToo many open files\ntrue\ntrue\ndone\n", output)
  end)

  it("runs 200 at once", function()
    local all = {}
    for i = 1, 200 do
      all[i] = process({
        __run__ = function(self) self.x = self:listen(60) end,
        __result__ = function(self) return self.x * 2 end,
      }, { runs = 1, lives = i % 10 == 0 and 2 or 1 })
      all[i]:start()
    end
    assert.equal(200, sk.processing.stats().processes)
    for i = 1, 200 do all[i]:tell(i) end
    for i = 1, 200 do assert.equal(2 * i, all[i]:result(60)) end
  end)

  local has_ffi, ffi = pcall(require, "ffi")

  if has_ffi and ffi then
    pcall(ffi.cdef, "int fork(void);")

    it("survives a hook that forks and lets both return", function()
      local returned = sk.Counter(0)
      local p = process({
        __run__ = function(self)
          ffi.C.fork()
          self.n = (self.n or 0) + 1
          returned:increment()
        end,
        __result__ = function(self) return { self.n, core.getpid() } end,
      }, { runs = 3 })
      p:start()
      local result = p:result(20)
      assert.equal(3, result[1])
      assert.equal(p.pid, result[2])
      helper.wait_until(function() return returned.value == 6 end)
      assert.same({ nil, "closed" }, { p:listen() })
    end)

    -- The system's limit on processes does not bind root: become nobody.
    local function limited(n, code)
      return helper.run([[
        local sk = require "suitkaise"
        require "suitkaise.skprocess"
        require "suitkaise.cerial"
        local ffi = require "ffi"
        ffi.cdef "int setrlimit(int, const unsigned long *); int setuid(int);"
        local Class = sk.Skprocess:extend "Sample"
        function Class:__run__() self.n = 1 end
        function Class:__result__() return "done" end
        local function try(lives)
          local p = Class()
          p.config.runs, p.config.lives = 1, lives
          local ok, value = pcall(p.run, p)
          if ok then return value end
          return sk.is(value, "ProcessError"),
            tostring(value):match "cannot start its process: .*"
        end
        print(try(1), try(2))
        ffi.C.setuid(54321)
        ffi.C.setrlimit(6, ffi.new("unsigned long[2]", ]] .. n .. [[, 1000))
      ]] .. code)
    end

    local WHY = "cannot start its process: cannot start a process: "
      .. "Resource temporarily unavailable"

    it("gives a clear error when the system has no more processes, and goes on",
    function()
      assert.equal("done\tdone\ntrue\t" .. WHY .. "\ntrue\t" .. WHY
        .. "\ndone\n", limited(1, [[
          print(try(1))
          print(try(2))
          ffi.C.setrlimit(6, ffi.new("unsigned long[2]", 1000, 1000))
          print(try(2))
        ]]))
    end)

    it("gives the same error when the monitor gets no process", function()
      assert.equal("done\tdone\ndone\ntrue\t"
        .. WHY:gsub("a process: ", "a process: ") .. "\n", limited(2, [[
          print(try(1))
          print(try(2))
        ]]))
    end)
  end
end)

describe("processing.stats", function()
  after_each(helper.nothing_left)

  it("counts what runs, what waits and what was restarted", function()
    local deaths = sk.Counter(0)
    local p = process({
      __run__ = function(self)
        if deaths:increment() == 1 then send("KILL", self.pid) end
        self:tell "ready"
        while not self.is_over do
          self.is_over = self:listen() == "over"
        end
      end,
    }, { runs = 1, lives = 3 })
    local pool = sk.Pool{ workers = 2 }
    pool:map(function(x) return x end, { 1, 2, 3 })
    p:start()
    assert.equal("ready", p:listen(20))
    send("STOP", p.pid)
    p:tell(("x"):rep(1000))
    local stats = sk.processing.stats()
    assert.equal(1, stats.processes)
    assert.equal(1, stats.pools)
    assert.is_true(stats.queued_bytes >= 1000)
    assert.equal(0, stats.queued_items)
    assert.equal(1, stats.restarts)
    local one = stats.process_list[1]
    assert.equal("Sample", one.name)
    assert.equal(p.pid, one.pid)
    assert.equal("run", one.section)
    assert.equal(1, one.lives_spent)
    assert.equal(3, one.lives)
    local workers = stats.pool_list[1].workers
    assert.equal(2, #workers)
    assert.equal(3, workers[1].items + workers[2].items)
    assert.is_true(workers[1].busy_seconds + workers[2].busy_seconds > 0)
    send("CONT", p.pid)
    p:tell "over"
    assert.is_true(p:wait(20))
    pool:close()
    stats = sk.processing.stats()
    assert.equal(0, stats.processes)
    assert.equal(0, stats.pools)
  end)

  it("counts the section that is not over as busy", function()
    local p = process({ __run__ = function(self) self:listen() end },
                      { runs = 1 })
    p:start()
    local one = helper.wait_until(function()
      local figures = sk.processing.stats().process_list[1]
      return figures.section and figures.section_seconds > 0.01 and figures
    end)
    assert.equal(one.section_seconds, one.busy_seconds)
    p:tell "over"
    assert.is_true(p:wait(20))
  end)

  it("counts bytes in whole numbers", function()
    local p = process({ __run__ = function(self) self:listen() end },
                      { runs = 1 })
    p:start()
    local stats = sk.processing.stats()
    assert.equal("0", tostring(stats.process_list[1].unread_bytes))
    assert.equal("0", tostring(stats.process_list[1].queued_bytes))
    assert.equal("0", tostring(stats.queued_bytes))
    p:tell "over"
    assert.is_true(p:wait(20))
  end)
end)
