-- The example programs with processes, and what many processes show together:
-- a bar on a terminal, Results.

local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

setup(fixture.start_default)

-- What a program prints on stdout and stderr.
local function run(program, ...)
  local code = ("arg = { [0] = %q, %s }\ndofile(arg[0])")
    :format(program, ("%q, "):rep(select("#", ...)):format(...))
  return helper.run(code)
end

local function write(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  assert(file:write(text))
  assert(file:close())
  return name
end

local function read(name)
  local file = assert(io.open(name))
  local text = file:read "*a"
  file:close()
  return text
end

describe("the example", function()
  after_each(helper.nothing_left)

  it("islands loses no rabbit, and is stopped by its flag", function()
    local output = run("examples/islands.lua", "3", "0.5")
    local years, lost = output:match
      "(%d+) years, %d+ rabbits, (%-?%d+) lost or invented\n$"
    assert.equal("0", lost, output)
    assert.is_true(tonumber(years) > 0)
    assert.matches("island 3: +%d+ rabbits\n", output)
  end)

  it("islands has as many islands as it is told", function()
    local output = run("examples/islands.lua", "70", "0.1")
    assert.matches("island 70: .*rabbits, 0 lost or invented\n$", output)
  end)

  it("islands refuses what is no number of islands or seconds", function()
    for _, arguments in ipairs {
      { "0" }, { "2.5" }, { "-1" }, { "many" }, { "2", "-1" }, { "2", "soon" },
    } do
      assert.matches("^usage: ", run("examples/islands.lua",
                                     arguments[1], arguments[2] or "0"))
    end
  end)

  it("job_queue ends with Ctrl-C, which is no job's fault", function()
    local output = helper.run [[
      local Future = require "suitkaise.future"
      local errors = require "suitkaise.errors"
      function Future.result()
        errors.raise("Interrupted", { message = "interrupted" })
      end
      local ok, err = pcall(dofile, "examples/job_queue.lua")
      print(ok, errors.is(err, "Interrupted"))]]
    assert.equal("false\ttrue\n", output)
  end)

  it("convert goes on where a file is missing, empty, or from elsewhere",
     function()
    local empty, foreign = write "", write "id,name\r\n1,Ann\r\n"
    local rubbish = write "a\nb,c"
    local output = run("examples/convert.lua", "/does/not/exist.csv", empty,
                       foreign, rubbish)
    assert.matches("/does/not/exist.csv: No such file", output, 1, true)
    assert.matches("2 files, 1 rows, 2 files failed\n$", output)
    assert.matches("100 %%", output)
    assert.equal('{"id":1,"name":"Ann"}\n', read(foreign .. ".jsonl"))
    for _, name in ipairs { empty, foreign, rubbish } do
      os.remove(name)
      os.remove(name .. ".jsonl")
    end
  end)

  it("convert turns CSV into JSON lines, and names the bad file", function()
    local good = write 'id,name\n1,Ann "A"\n007,Bob\n'
    local bad = write "id,name\n1\n"
    local output = run("examples/convert.lua", good, bad)
    assert.matches("1 files, 2 rows, 1 files failed\n$", output)
    assert.matches(bad .. ":2: 1 cells instead of 2", output, 1, true)
    assert.matches("100 %%", output)
    assert.equal('{"id":1,"name":"Ann \\u0022A\\u0022"}\n'
      .. '{"id":"007","name":"Bob"}\n', read(good .. ".jsonl"))
    for _, name in ipairs { good, bad } do
      os.remove(name)
      os.remove(name .. ".jsonl")
    end
  end)
end)

describe("many processes", function()
  after_each(helper.nothing_left)

  -- `script` gives a program a terminal.
  local has_script = os.execute "command -v script >/dev/null 2>&1"
  if has_script == true or has_script == 0 then
    it("move one bar on a terminal, up to its end", function()
      local name = write [[
        local sk = require "suitkaise"
        local progress = sk.Progress(400)
        local Worker = sk.Skprocess:extend "Worker"
        function Worker:init() self.config.runs = 100 end
        function Worker:__run__()
          progress:increment()
          sk.sktime.sleep(0.002)
        end
        local workers = {}
        for i = 1, 4 do
          workers[i] = Worker()
          workers[i]:start()
        end
        progress:bar()
        assert(progress:wait(20))
        for i = 1, 4 do workers[i]:wait() end]]
      local pipe = io.popen(("script -qec 'stty cols 60; LUA_PATH=\"%s\" "
        .. "LUA_CPATH=\"%s\" %s %s' /dev/null"):format(package.path,
        package.cpath, helper.interpreter:gsub("'", ""), name))
      local text = pipe:read "*a"
      pipe:close()
      os.remove(name)
      local last, steps = -1, 0
      for percent in text:gmatch "\r *(%d+) %%" do
        assert.is_true(tonumber(percent) >= last, text)
        if tonumber(percent) > last then steps = steps + 1 end
        last = tonumber(percent)
      end
      assert.equal(100, last)
      assert.is_true(steps > 3, text) -- it is live
      assert.is_nil(text:find "traceback")
    end)
  end

  it("hand in their parts of one Results", function()
    local results = sk.Results(4)
    local Worker = sk.Skprocess:extend "Worker"
    function Worker:init(i) self.i, self.config.runs = i, 1 end
    function Worker:__run__() results:set(self.i, { square = self.i ^ 2 }) end
    local workers = {}
    for i = 1, 4 do
      workers[i] = Worker(i)
      workers[i]:start()
    end
    for i = 1, 4 do workers[i]:wait(20) end
    local all = results:collect()
    assert.equal(4, all.n)
    for i = 1, 4 do
      assert.equal(i ^ 2, all[i].square)
      assert.equal(i ^ 2, results:get(i).square)
    end
  end)
end)
