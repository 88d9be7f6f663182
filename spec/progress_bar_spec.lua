local Bar = require "suitkaise.shared.bar"
local classes = require "suitkaise.shared.classes"
local helper = require "spec.helper"

-- A stream that keeps what is written to it.
local function stream()
  return {
    text = "", flushes = 0,
    write = function(self, text) self.text = self.text .. text end,
    flush = function(self) self.flushes = self.flushes + 1 end,
  }
end

local function lines(text)
  local found = {}
  for line in text:gmatch "([^\n]*)\n" do found[#found + 1] = line end
  return found
end

describe("a bar that is no terminal", function()
  after_each(helper.nothing_left)

  it("writes a line for every tenth", function()
    local out = stream()
    local bar = Bar.new(out, 1000)
    for i = 1, 1000 do bar:update(i) end
    local written = lines(out.text)
    assert.equal(10, #written)
    for i, line in ipairs(written) do
      assert.matches(("^%3d %%%%  %d/1000  "):format(i * 10, i * 100), line)
    end
  end)

  it("writes one line for many tenths at once", function()
    local out = stream()
    local bar = Bar.new(out, 100)
    bar:update(55)
    bar:update(56)
    bar:update(60)
    assert.equal(2, #lines(out.text))
  end)

  it("has neither carriage returns nor escapes", function()
    local out = stream()
    local bar = Bar.new(out, 10)
    for i = 1, 10 do bar:update(i) end
    assert.is_nil(out.text:find("[\r\27]"))
  end)

  it("shows rate and time left, at the end the time taken", function()
    local out = stream()
    local bar = Bar.new(out, 200)
    bar:update(50, 5)
    bar:update(200, 100)
    assert.same({ " 25 %  50/200  10.0/s  eta 0:15",
                  "100 %  200/200  2.0/s  in 1:40" }, lines(out.text))
  end)

  it("shows hours, and no more than a hundred", function()
    local out = stream()
    local bar = Bar.new(out, 1e6)
    bar:update(2e5, 1e4)
    bar:update(4e5, 1e9)
    assert.matches("eta 11:06:40$", lines(out.text)[1])
    assert.matches("eta over 100h$", lines(out.text)[2])
  end)

  it("writes the last state when it is ended early", function()
    local out = stream()
    local bar = Bar.new(out, 10)
    bar:update(3, 6)
    bar:finish()
    assert.equal(" 30 %  3/10  0.5/s  in 0:06", lines(out.text)[2])
  end)

  it("writes nothing after its end", function()
    local out = stream()
    local bar = Bar.new(out, 1)
    assert.is_false(bar:update(1))
    local text = out.text
    bar:finish()
    assert.is_false(bar:update(1))
    assert.equal(text, out.text)
  end)

  it("counts where no total is known", function()
    local out = stream()
    local bar = Bar.new(out)
    bar:update(5, 1)
    bar:update(100, 50)
    bar:finish()
    assert.same({ "100  2.0/s", "100  2.0/s  in 0:50" }, lines(out.text))
  end)

  it("is whole with nothing to do", function()
    local out = stream()
    Bar.new(out, 0):update(0, 0)
    assert.same({ "100 %  0/0  0.0/s  in 0:00" }, lines(out.text))
  end)

  it("shows no more than 100 percent", function()
    local out = stream()
    Bar.new(out, 2):update(5, 1)
    assert.matches("^100 %%  5/2", out.text)
  end)
end)

describe("a bar on a terminal", function()
  after_each(helper.nothing_left)

  it("is drawn at once, over itself, and ends its line once", function()
    local out = stream()
    local bar = Bar.new(out, 4, 60)
    bar:update(0, 0)
    assert.matches("^\r  0 %% %[ +%]  0/4", out.text)
    bar:update(2, 1)
    bar:update(4, 2)
    assert.equal(1, #lines(out.text))
    assert.matches("\r100 %% %[#+%]  4/4  2%.0/s  in 0:02\27%[K\n$", out.text)
  end)

  it("fills as far as the work is done", function()
    local out = stream()
    Bar.new(out, 4, 60):update(1, 1)
    local full, empty = out.text:match "%[(#*)( *)%]"
    assert.is_true(math.abs(3 * #full - #empty) <= 3)
  end)

  it("is redrawn at most ten times a second", function()
    local out = stream()
    local bar = Bar.new(out, 10000, 60)
    for i = 1, 1000 do bar:update(i, i / 1000) end
    local _, drawn = out.text:gsub("\r", "")
    assert.is_true(drawn >= 9 and drawn <= 11)
    assert.equal(drawn, out.flushes)
  end)

  it("is never wider than the terminal", function()
    for columns = 1, 100 do
      local out = stream()
      local bar = Bar.new(out, 3, columns)
      bar:update(1, 1)
      bar:update(2, 2)
      bar:update(3, 3)
      for drawn in out.text:gmatch "\r([^\r\27]*)" do
        assert.is_true(#drawn < columns or #drawn == 0)
      end
    end
  end)

  it("belongs to the process that made it", function()
    local out = stream()
    local bar = Bar.new(out, 4, 60)
    helper.in_child(function()
      assert(not bar:update(1, 1))
      bar:finish()
      assert(out.text == "")
    end)
    assert.is_true(bar:update(1, 1))
  end)
end)

-- A program and what it wrote to stderr, which is no terminal.
local function bar_of(code)
  return helper.run([[
    local sk = require "suitkaise"
    local core = require "suitkaise.core"]] .. "\n" .. code)
end

describe("the bar of a progress", function()
  after_each(helper.nothing_left)

  it("is drawn by the increments of this process", function()
    local text = bar_of [[
      local p = sk.Progress(20)
      p:bar()
      for _ = 1, 20 do p:increment() end]]
    assert.equal(10, #lines(text))
    assert.matches("100 %%  20/20", text)
  end)

  it("may be asked for again and again", function()
    local text = bar_of [[
      local p = sk.Progress(20)
      for _ = 1, 20 do p:increment() p:bar() end
      p:bar()]]
    assert.equal(10, #lines(text))
  end)

  it("is drawn by who waits for others", function()
    local text = bar_of [[
      local p = sk.Progress(20)
      local child = core.fork(function()
        for _ = 1, 20 do p:increment() end
      end)
      assert(p:bar():wait(20))
      child:close()]]
    assert.matches("^100 %%  20/20 [^\n]*\n$", text:match "[^\n]*\n$")
  end)

  it("is not drawn by children that inherited it", function()
    local text = bar_of [[
      local p = sk.Progress(20)
      p:bar()
      local child = core.fork(function()
        for _ = 1, 20 do p:increment() end
      end)
      repeat core.wait({}, { child }, "eager", 1)
      until select(3, child:poll())
      child:close()]]
    assert.equal("", text)
  end)

  it("may be made anew in a child", function()
    local text = bar_of [[
      local p = sk.Progress(1)
      p:bar()
      local child = core.fork(function() p:bar() p:increment() end)
      repeat core.wait({}, { child }, "eager", 1)
      until select(3, child:poll())
      child:close()]]
    assert.equal(1, #lines(text))
  end)

  it("shows a progress that is complete already, once", function()
    local text = bar_of [[
      local p = sk.Progress(0)
      p:bar()
      p:bar()
      p:wait()]]
    assert.equal(1, #lines(text))
  end)

  it("does not keep its progress alive", function()
    for _, set in pairs { classes.make() } do
      local p = set.Progress(1000)
      p:bar()
      local held = setmetatable({ p }, { __mode = "v" })
      p = nil -- luacheck: no unused
      collectgarbage()
      collectgarbage()
      assert.is_nil(held[1])
    end
  end)

  -- `script` gives a program a terminal.
  local has_script = os.execute "command -v script >/dev/null 2>&1"
  if has_script == true or has_script == 0 then
    local function on_terminal(columns, setting, code)
      local name = os.tmpname()
      local file = io.open(name, "w")
      file:write(code or [[
        local p = require "suitkaise".Progress(2)
        p:bar()
        p:increment(2)]])
      file:close()
      local pipe = io.popen(("script -qec 'stty cols %d; %s LUA_PATH=\"%s\" "
        .. "LUA_CPATH=\"%s\" %s %s' /dev/null"):format(columns, setting,
        package.path, package.cpath, helper.interpreter:gsub("'", ""), name))
      local text = pipe:read "*a"
      pipe:close()
      os.remove(name)
      return text
    end

    it("is as wide as its terminal", function()
      local text = on_terminal(50, "COLUMNS=")
      assert.equal(49, #text:match "\r(100 %%[^\27]*)\27%[K")
    end)

    it("is as wide as COLUMNS says", function()
      local text = on_terminal(50, "COLUMNS=70")
      assert.equal(69, #text:match "\r(100 %%[^\27]*)\27%[K")
    end)

    it("is not as wide as a COLUMNS that no terminal has", function()
      local text = on_terminal(50, "COLUMNS=1e6")
      assert.equal(999, #text:match "\r(100 %%[^\27]*)\27%[K")
    end)

    it("ends its line when nobody holds its progress any more", function()
      local text = on_terminal(50, "COLUMNS=", [[
        do
          local p = require "suitkaise".Progress(4)
          p:bar()
          p:increment(1)
          p:increment(1)
        end
        collectgarbage()
        collectgarbage()
        print "after"]])
      assert.matches("\r 50 %%[^\r]*\27%[K\r?\nafter", text)
    end)

    it("ends its line with the program", function()
      local text = on_terminal(50, "COLUMNS=", [[
        held = require "suitkaise".Progress(4)
        held:bar()
        held:increment(3)]])
      assert.matches("\r 75 %%[^\r]*\27%[K\r?\n$", text)
    end)

    it("ends its line when a Pool's loop is broken off", function()
      local text = on_terminal(50, "COLUMNS=", [[
        local pool = require "suitkaise".Pool{ workers = 1 }
        for _ in pool:progress():imap(function(x) return x end, { 1, 2, 3 }) do
          break
        end
        collectgarbage()
        collectgarbage()
        print "after"
        pool:close()]])
      assert.matches("\27%[K\r?\nafter", text)
    end)

    it("is 80 wide on a terminal that does not say", function()
      local text = on_terminal(0, "COLUMNS=")
      assert.equal(79, #text:match "\r(100 %%[^\27]*)\27%[K")
    end)
  end
end)
