-- Tasks in loops that somebody else turns: a host's own libuv loop, an epoll
-- loop in C, a game loop; and what becomes of the loop in a forked child.

local async_helper = require "spec.async_helper"
local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"
local uv = require "luv"

local async = sk.async
local run = async_helper.run

-- Compile the host in C for this Lua and load it.
local function load_host()
  local target = os.tmpname()
  local command = ("${CC:-cc} -std=gnu11 -O1 -shared -fPIC "
    .. "$(tools/lua-include %s) -o %s spec/host/epoll_host.c 2>&1")
    :format(helper.lua, target)
  local pipe = io.popen(command)
  local output = pipe:read "*a"
  pipe:close()
  local open, why = package.loadlib(target, "luaopen_epoll_host")
  os.remove(target)
  return assert(open, output .. tostring(why))()
end

-- A server and a client over TCP on loopback: -> what came back.
local function echo_once(message)
  local server, done, answer = uv.new_tcp(), async.Event(), nil
  server:bind("127.0.0.1", 0)
  server:listen(8, function()
    local peer = uv.new_tcp()
    server:accept(peer)
    peer:read_start(function(_, data)
      if data then peer:write(data:upper()) else peer:close() end
    end)
  end)
  local client = uv.new_tcp()
  assert(async.call(client.connect, client, "127.0.0.1",
                    server:getsockname().port) == nil)
  client:read_start(function(_, data)
    answer = data
    done:set()
  end)
  client:write(message)
  assert(done:wait(20))
  client:close()
  server:close()
  async.sleep(0.005) -- the peer closes when it sees the end
  return answer
end

describe("async in a host's libuv loop", function()
  after_each(helper.nothing_left)

  it("runs tasks beside the host's own callbacks", function()
    local beats, result = 0, nil
    local timer = uv.new_timer()
    timer:start(1, 1, function() beats = beats + 1 end)
    async.spawn(function()
      while beats < 5 do async.sleep(0.001) end
      result = "done"
      timer:close()
    end)
    uv.run()
    assert.equal("done", result)
  end)

  it("takes tasks from a callback of the host", function()
    local seen
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      timer:close()
      async.spawn(function() async.sleep(0.001) seen = true end)
    end)
    uv.run()
    assert.is_true(seen)
  end)

  it("lets the loop end when no task waits for anything", function()
    local event = async.Event()
    local task = async.spawn(function() event:wait() end)
    uv.run() -- returns: nothing can happen any more
    assert.is_false(task:done())
    event:set()
    uv.run()
    assert.is_true(task:done())
  end)

  it("lives on when the host closes all handles", function()
    async.run(function() async.sleep(0.001) end)
    async_helper.close_all()
    assert.equal(7, async.run(function()
      async.sleep(0.001)
      local flag, pool = sk.Flag(), async.Pool{ workers = 1 }
      local waiter = async.spawn(function() return flag:asynced():wait(20) end)
      async.sleep(0)
      uv.walk(function(handle) handle:close() end)
      assert(pool:map(function(x) return x end, { 1 })[1] == 1)
      flag:set()
      assert(waiter:await())
      pool:close()
      return 7
    end))
  end)

  it("refuses run and step inside a callback", function()
    local messages = {}
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      timer:close()
      for i, fn in ipairs { async.run, async.step } do
        local _, err = pcall(fn, i == 1 and print or nil)
        messages[i] = tostring(err)
      end
    end)
    uv.run()
    assert.matches("turns already", messages[1])
    assert.matches("turns already", messages[2])
  end)

  it("lets sockets have their turn beside tasks that never wait", function()
    run(function()
      local is_over, rounds = false, 0
      async.spawn(function()
        while not is_over do
          rounds = rounds + 1
          async.sleep(0)
        end
      end)
      assert.equal("HELLO", echo_once "hello")
      is_over = true
      assert.is_true(rounds > 10)
    end)
  end)

  it("reads and writes sockets", function()
    run(function() assert.equal("ECHO", echo_once "echo") end)
  end)
end)

describe("the bell of a loop", function()
  after_each(helper.nothing_left)

  it("is rung again by a blocking wait, which may have heard it", function()
    core.listen({}, "eager")
    assert.is_false(core.readable(core.bell_fd()))
    core.wait({}, {}, "eager", 0.001)
    assert.is_true(core.readable(core.bell_fd()))
    core.hush()
    core.wait({}, {}, "eager", 0.001)
    assert.is_false(core.readable(core.bell_fd()))
  end)
end)

describe("async.step", function()
  after_each(helper.nothing_left)

  it("runs what is ready and returns", function()
    local count = 0
    async.spawn(function()
      for _ = 1, 3 do
        count = count + 1
        async.sleep(0)
      end
    end)
    assert.is_false(async.step(1))
    assert.equal(3, count)
    assert.is_false(async.step())
  end)

  it("keeps to its budget and says that there is more", function()
    local is_over = false
    local task = async.spawn(function()
      while not is_over do async.sleep(0) end
    end)
    local begun = core.now()
    assert.is_true(async.step(0.01))
    local took = core.now() - begun
    assert.is_true(took >= 0.01)
    is_over = true
    while async.step(0.01) do end
    assert.is_true(task:done())
  end)

  it("refuses a bad budget", function()
    for _, bad in ipairs { -1, "x", 0 / 0 } do
      local ok, err = pcall(async.step, bad)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ArgumentError"))
    end
  end)

  it("knows when it is due", function()
    assert.is_nil(async.next_deadline())
    local task = async.spawn(function() async.sleep(30) end)
    assert.is_true(async.next_deadline() <= core.now())
    async.step()
    local due, now = async.next_deadline(), core.now()
    assert.is_true(due > now and due <= now + 30)
    task:cancel()
    while async.step() do end
    assert.is_nil(async.next_deadline())
  end)

  it("has run what was due when its deadline comes", function()
    local task = async.spawn(function() async.sleep(0.0105) end)
    async.step()
    while not task:done() do
      core.wait({}, {}, "eager",
                math.max(0, async.next_deadline() - core.now()))
      async.step()
    end
    assert.is_nil(async.next_deadline())
  end)

  it("sees timers of luv in its deadline", function()
    local timer = uv.new_timer()
    timer:start(30000, 0, function() end)
    local due, now = async.next_deadline(), core.now()
    assert.is_true(due > now and due <= now + 31)
    timer:close()
    async.step()
  end)

  it("drives tasks from a loop of 60 frames a second", function()
    local frames, woken, late = 0, 0, 0
    local tasks = {}
    for i = 1, 50 do
      tasks[i] = async.spawn(function()
        for _ = 1, 5 do
          async.sleep(0.004)
          woken = woken + 1
        end
        return echo_once "x"
      end)
    end
    local all = async.spawn(async.gather, tasks)
    local begun = core.now()
    while not all:done() and core.now() - begun < 20 do
      frames = frames + 1
      local frame_begins = core.now()
      async.step(0.002)
      if core.now() - frame_begins > 0.02 then late = late + 1 end
      core.wait({}, {}, "eager", frame_begins + 1 / 60 - core.now() > 0
        and frame_begins + 1 / 60 - core.now() or 0)
    end
    assert.equal(250, woken)
    assert.equal("X", all:result()[50])
    assert.is_true(frames >= 5)
    while async.step(0.01) do end
    if late > 0 then
      io.stderr:write(late, " of ", frames, " frames took over 20 ms\n")
    end
  end)

  it("is driven by an epoll loop in C, which sleeps meanwhile", function()
    local drive = load_host()
    local pool = sk.Pool{ workers = 1 }
    local answers = {}
    local task = async.spawn(function()
      answers[1] = echo_once "tcp"
      answers[2] = pool:asynced():map(function(x)
        require "suitkaise.core".wait({}, {}, "eager", 0.05)
        return x + 1
      end, { 41 })[1]
      async.sleep(0.05)
    end)
    local ticks, steps = drive(async, function() return task:done() end, 20)
    pool:close()
    task:result(1)
    assert.same({ "TCP", 42 }, answers)
    assert.is_true(ticks >= 5)
    -- it did not just spin: some steps per tick and event
    assert.is_true(steps < 20 * ticks + 200)
  end)
end)

describe("a forked child", function()
  after_each(helper.nothing_left)

  it("has a loop of its own and none of the parent's tasks", function()
    run(function()
      local ran_in = sk.Counter(0)
      async.spawn(function()
        async.sleep(0.02)
        ran_in:increment()
      end)
      async.sleep(0)
      local child = helper.fork(function()
        assert(async.current() == nil)
        assert(async.next_deadline() == nil)
        assert(async.run(function()
          async.sleep(0.05)
          return echo_once "child"
        end) == "CHILD")
        assert(ran_in.value <= 1)
      end)
      async.sleep(0.06)
      assert.equal(0, (child:finish()))
      assert.equal(1, ran_in.value)
    end)
  end)

  it("leaves the parent's sockets and timers alone", function()
    run(function()
      local server, got = uv.new_tcp(), async.Queue()
      server:bind("127.0.0.1", 0)
      server:listen(8, function()
        local peer = uv.new_tcp()
        server:accept(peer)
        peer:read_start(function(_, data)
          got:put(data or "end")
          if not data then peer:close() end
        end)
      end)
      local client = uv.new_tcp()
      async.call(client.connect, client, "127.0.0.1",
                 server:getsockname().port)
      client:write "one"
      assert.equal("one", got:get(20))
      local ticks = 0
      local timer = uv.new_timer()
      timer:start(1, 1, function() ticks = ticks + 1 end)
      local child = helper.fork(function()
        -- the loop of before, as a collector at work would leave it
        server, client, timer = nil, nil, nil
        collectgarbage()
        collectgarbage()
        async.run(function()
          async.sleep(0.02)
          echo_once "busy"
        end)
        assert(ticks == 0)
      end)
      assert.equal(0, (child:finish()))
      client:write "two"
      assert.equal("two", got:get(20))
      ticks = 0
      async_helper.wait_until(function() return ticks > 2 end)
      timer:close()
      client:close()
      assert.equal("end", got:get(20))
      server:close()
      async.sleep(0.002)
    end)
  end)

  it("leaves the parent's watch of a file alone", function()
    run(function()
      local path = os.tmpname()
      local watch, changes = uv.new_fs_event(), async.Queue()
      watch:start(path, {}, function() changes:put(true) end)
      local child = helper.fork(function()
        watch = nil
        collectgarbage()
        collectgarbage()
        async.run(function() async.sleep(0.001) end)
      end)
      assert.equal(0, (child:finish()))
      local file = io.open(path, "w")
      file:write "changed"
      file:close()
      assert.is_true(changes:get(20))
      watch:close()
      os.remove(path)
      async.sleep(0.001)
    end)
  end)

  it("leaves them alone in a host that uses luv without async", function()
    assert.equal("one two\n", helper.run [[
      local core, uv = require "suitkaise.core", require "luv"
      local got, server, client = {}, uv.new_tcp(), uv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(8, function()
        local peer = uv.new_tcp()
        server:accept(peer)
        peer:read_start(function(_, data)
          if data then got[#got + 1] = data else peer:close() end
        end)
      end)
      client:connect("127.0.0.1", server:getsockname().port)
      local function until_there(n)
        local begun = core.now()
        while #got < n and core.now() - begun < 20 do uv.run "nowait" end
      end
      client:write "one"
      until_there(1)
      local child = core.fork(function()
        uv.walk(function(h) h:close() end) -- as its collector would
      end)
      core.wait({}, { child }, "eager", 20)
      client:write "two"
      until_there(2)
      print(table.concat(got, " "))
      os.exit(0)
    ]])
  end)

  it("keeps luv's functions that were taken before the fork", function()
    local new_timer, turn = uv.new_timer, uv.run
    helper.in_child(function()
      local fired = false
      local timer = new_timer()
      timer:start(1, 0, function() fired = true timer:close() end)
      turn()
      assert(fired and require "luv" == uv)
    end)
  end)

  it("of a pool inside a task can run tasks itself", function()
    run(function()
      local pool = async.Pool{ workers = 2 }
      local results = pool:map(function(x)
        return require "suitkaise".async.run(function()
          require "suitkaise".async.sleep(0.005)
          return x * 2
        end)
      end, { 1, 2, 3, 4 })
      assert.same({ 2, 4, 6, 8, n = 4 }, results)
      pool:close()
    end)
  end)

  it("of a child can do so again", function()
    helper.in_child(function()
      async.run(function()
        async.sleep(0.001)
        local child = helper.fork(function()
          assert(async.run(function() async.sleep(0.001) return 5 end) == 5)
        end)
        async.sleep(0.01)
        assert(child:finish() == 0)
      end)
    end)
  end)
end)
