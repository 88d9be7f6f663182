-- A Timer's statistics beside a computation in two passes over the same
-- times, and what it makes of them for people.

local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local Timer = require "suitkaise.sktime".Timer

local unpack = table.unpack or unpack

-- The statistics of a list, the slow and sure way.
local function naive(list)
  local n, sum = #list, 0
  for _, x in ipairs(list) do sum = sum + x end
  local mean, squares, drift = sum / n, 0, 0
  local fastest, slowest = 1, 1
  for i, x in ipairs(list) do
    squares = squares + (x - mean) ^ 2
    drift = drift + (x - mean) -- nothing but what the mean was rounded by
    if x < list[fastest] then fastest = i end
    if x > list[slowest] then slowest = i end
  end
  squares = squares - drift * drift / n
  local sorted = { unpack(list) }
  table.sort(sorted)
  return {
    num_times = n, total_time = sum, mean = mean,
    variance = n > 1 and squares / (n - 1) or nil,
    stdev = n > 1 and math.sqrt(squares / (n - 1)) or nil,
    min = list[fastest], max = list[slowest],
    fastest_time = list[fastest], slowest_time = list[slowest],
    fastest_index = fastest, slowest_index = slowest,
    most_recent = list[n], most_recent_index = n,
    median = n % 2 == 1 and sorted[(n + 1) / 2]
      or (sorted[n / 2] + sorted[n / 2 + 1]) / 2,
    times = list,
  }
end

-- `noise`: what is as good as zero.
local function close_to(expected, got, what, noise)
  if type(expected) ~= "number" or type(got) ~= "number" then
    assert.equal(expected, got, what)
    return
  end
  local far = math.abs(expected - got)
  if far > 1e-9 * math.abs(expected) + (noise or 0) then
    error(("%s: %.17g, not %.17g"):format(what, got, expected), 2)
  end
end

local function check(timer, list)
  local expected, got = naive(list), timer:statistics()
  for name, value in pairs(expected) do
    local noise = 1e-15 * expected.max
    if name == "variance" then noise = noise * expected.max end
    if name == "times" then
      assert.same(value, got.times)
    else
      close_to(value, got[name], name, noise)
      close_to(value, timer[name], name, noise)
    end
  end
  if not expected.variance then assert.is_nil(got.variance) end
end

local function last(list, n)
  local kept = {}
  for i = math.max(#list - n + 1, 1), #list do kept[#kept + 1] = list[i] end
  return kept
end

-- Numbers that are hard in one way each.
local KINDS = {
  even = function() return math.random() end,
  ["far from zero"] = function() return 1e5 + math.random() end,
  ["of all sizes"] = function() return 10 ^ (math.random() * 12 - 9) end,
  equal = function() return 0.1 end,
  ["with many ties"] = function() return math.random(3) end,
  zero = function() return 0 end,
}

describe("statistics", function()
  after_each(helper.nothing_left)

  for kind, draw in pairs(KINDS) do
    it("agree with two passes over times that are " .. kind, function()
      math.randomseed(7)
      local timer, list = Timer(), {}
      for i = 1, 500 do
        list[i] = draw()
        timer:add_time(list[i])
        if i < 20 or i % 50 == 0 then check(timer, list) end
      end
    end)

    it("of the last n agree too when they are " .. kind, function()
      math.randomseed(8)
      for _, n in ipairs { 1, 2, 3, 7, 64 } do
        local timer, list = Timer{ max_times = n }, {}
        for i = 1, 5 * n + 3 do
          list[i] = draw()
          timer:add_time(list[i])
          check(timer, last(list, n))
        end
      end
    end)
  end

  it("of a window are right when they are read seldom", function()
    math.randomseed(9)
    local timer, list = Timer{ max_times = 10 }, {}
    for i = 1, 2000 do
      list[i] = math.random()
      timer:add_time(list[i])
      if math.random(13) == 1 then check(timer, last(list, 10)) end
    end
  end)

  it("forget a huge time that has left the window", function()
    local timer, list = Timer{ max_times = 5 }, {}
    for i = 1, 50 do
      list[i] = i == 20 and 1e12 or 1e-6 * i
      timer:add_time(list[i])
    end
    check(timer, last(list, 5))
  end)

  it("keep the digits of a million small times", function()
    local timer = Timer{ max_times = 1000000 }
    for _ = 1, 1000000 do timer:add_time(0.1) end
    assert.is_true(math.abs(timer.total_time - 100000) < 1e-9)
    assert.is_true(math.abs(timer.mean - 0.1) < 1e-15)
    assert.is_true(timer.stdev < 1e-12)
  end)

  it("are floats of integers too, and do not wrap around", function()
    local timer = Timer()
    for _ = 1, 4 do timer:add_time(math.floor(2 ^ 62), math.floor(2 ^ 62)) end
    assert.equal(2 ^ 64, timer.total_time)
    assert.equal(2 ^ 64, timer.total_time_paused)
    assert.equal(0, timer.variance)
  end)

  it("are nil or zero before the first time", function()
    assert.same({ num_times = 0, total_time = 0, total_time_paused = 0,
                  times = {} }, Timer():statistics())
    assert.is_nil(Timer():percentile(50))
    assert.is_nil(Timer():get_time(1))
    assert.is_nil(Timer().no_such_statistic)
  end)

  it("add up the pauses of the times that are kept", function()
    for _, n in ipairs { 1, 3, 4 } do
      local timer = Timer{ max_times = n }
      local paused = {}
      for i = 1, 17 do
        paused[i] = i % 3 == 0 and i or 0
        timer:add_time(1, paused[i])
        local sum = 0
        for _, p in ipairs(last(paused, n)) do sum = sum + p end
        assert.equal(sum, timer.total_time_paused)
      end
    end
  end)

  it("keep no more than the last n times", function()
    local timer = Timer{ max_times = 3 }
    for i = 1, 1000 do timer:add_time(i, 1) end
    local kept = 0
    for _ in pairs(timer._times) do kept = kept + 1 end
    assert.equal(3, kept)
    assert.same({ 998, 999, 1000 }, timer.times)
    assert.equal(998, timer:get_time(1))
    assert.equal(1000, timer:get_time(3))
    assert.is_nil(timer:get_time(4))
    assert.is_nil(timer:get_time(0))
    assert.is_nil(timer:get_time(-1))
  end)

  it("give copies", function()
    local timer = Timer()
    timer:add_time(1)
    timer.times[1] = 5
    timer:statistics().times[1] = 5
    assert.equal(1, timer:get_time(1))
  end)

  it("do not look at each time", function()
    -- a table of times that counts its reads
    local function reads(n, max_times)
      local timer = Timer{ max_times = max_times }
      for i = 1, n do timer:add_time(i % 7) end
      local _ = { timer.mean, timer.max }
      local times, count = timer._times, 0
      timer._times = setmetatable({}, {
        __index = function(_, k)
          count = count + 1
          return times[k]
        end,
        __newindex = function(_, k, v) times[k] = v end,
      })
      timer:add_time(3)
      _ = { timer.mean, timer.stdev, timer.min, timer.max, timer.total_time }
      return count
    end
    assert.equal(reads(10), reads(10000))
    assert.is_true(reads(105, 100) <= reads(10) + 8)
    assert.is_true(reads(1005, 1000) <= reads(10) + 8)
  end)

  describe("percentile", function()
    it("is interpolated between neighbours", function()
      local timer = Timer()
      for _, x in ipairs { 4, 1, 3, 2 } do timer:add_time(x) end
      assert.equal(1, timer:percentile(0))
      assert.equal(2.5, timer:percentile(50))
      assert.equal(1.75, timer:percentile(25))
      assert.equal(4, timer:percentile(100))
      close_to(3.7, timer:percentile(90), "p90")
    end)

    it("knows of a time that came after it was asked", function()
      for _, opts in ipairs { {}, { max_times = 2 } } do
        local timer = Timer(opts)
        timer:add_time(1)
        timer:add_time(1)
        assert.equal(1, timer:percentile(100))
        timer:add_time(9)
        assert.equal(9, timer:percentile(100))
      end
    end)

    it("knows of other times of the same number", function()
      local timer = Timer()
      timer:add_time(1)
      assert.equal(1, timer.median)
      timer:reset()
      timer:add_time(2)
      assert.equal(2, timer.median)
    end)

    -- As a Share does after a method that raised.
    local function put_back_after(timer, change)
      local saved = {}
      for k, v in pairs(timer) do saved[k] = v end
      saved._times = { unpack(timer._times) }
      change()
      local _ = { timer.median, timer.mean, timer.max }
      for k, v in pairs(saved) do timer[k] = v end
    end

    it("does not believe what it remembers when the state was put back",
       function()
      for _, n in ipairs { 2, 3, 10 } do
        local timer, list = Timer{ max_times = n }, {}
        for i = 1, 40 do
          put_back_after(timer, function()
            timer:add_time(100 + i)
            timer:add_time(7)
          end)
          for _, seconds in ipairs { i, 7 } do
            list[#list + 1] = seconds
            timer:add_time(seconds)
          end
          check(timer, last(list, n))
          local sorted = last(list, n)
          table.sort(sorted)
          assert.equal(sorted[1], timer:percentile(0))
          assert.equal(sorted[#sorted], timer:percentile(100))
        end
      end
    end)
  end)
end)

-- ---- for people ----

local function printer()
  local written = {}
  return { write = function(_, ...)
    for _, s in ipairs { ... } do written[#written + 1] = s end
  end }, written
end

local function timer_of(list)
  local timer = Timer()
  for _, x in ipairs(list) do timer:add_time(x) end
  return timer
end

describe("report", function()
  after_each(helper.nothing_left)

  it("prints statistics and a histogram, and returns the text", function()
    local out, written = printer()
    local timer = timer_of { 0.001, 0.002, 0.002, 0.003 }
    local text = timer:report(out)
    assert.equal(text .. "\n", table.concat(written))
    assert.equal(table.concat({
      "Timer: 4 times",
      "  mean     2.00 ms   min      1.00 ms",
      "  stdev     816 µs   median   2.00 ms",
      "  total    8.00 ms   p95      2.85 ms",
      "  paused       0 s   p99      2.97 ms",
      "  latest   3.00 ms   max      3.00 ms",
      "",
      "    1.00 ms |############### 1",
      "    1.50 ms | 0",
      "    2.00 ms |############################## 2",
      "    2.50 ms |############### 1",
      "    3.00 ms |",
    }, "\n"), text)
  end)

  it("counts every time in one bin", function()
    math.randomseed(5)
    for _, draw in pairs(KINDS) do
      local list = {}
      for i = 1, 300 do list[i] = draw() end
      local text = timer_of(list):report((printer()))
      local sum = 0
      for count in text:gmatch "|#* (%d+)" do sum = sum + count end
      assert.equal(300, sum)
    end
  end)

  it("looks at times of many sizes by their logarithm", function()
    local text = timer_of { 1e-6, 1e-5, 1e-4, 1e-3 }:report((printer()))
    assert.matches("logarithmic", text, 1, true)
  end)

  it("says that there is nothing yet", function()
    assert.equal("Timer: no times", Timer():report((printer())))
  end)

  it("does with one time", function()
    local timer = Timer{ max_times = 2 }
    timer:add_time(1)
    assert.matches("^Timer: 1 time\n", timer:report((printer())))
  end)

  it("says of how many the times that are kept are the last", function()
    local timer = Timer{ max_times = 2 }
    for i = 1, 5 do timer:add_time(i) end
    assert.matches("^Timer: the last 2 of 5 times\n",
                   timer:report((printer())))
  end)

  it("shows times whose sum is too large for a number", function()
    local timer = Timer()
    for i = 1, 10 do timer:add_time(i * 1e307) end
    assert.equal(math.huge, timer.total_time)
    assert.matches("total +inf s", timer:report((printer())))
  end)

  it("refuses what cannot be written to", function()
    for _, out in ipairs { 5, false, {}, "x.txt" } do
      local ok, err = pcall(function() Timer():report(out) end)
      assert.is_false(ok)
      assert.matches("sktime_statistics_spec.lua:%d+: ArgumentError: "
        .. "Timer:report: out must be something with a method `write`, got ",
        tostring(err))
    end
  end)

  it("raises when it cannot be written", function()
    local full = { write = function() return nil, "disk full" end }
    local ok, err = pcall(function() Timer():report(full) end)
    assert.is_false(ok)
    assert.matches("sktime_statistics_spec.lua:%d+: Error: "
      .. "Timer:report: cannot write it: disk full", tostring(err))
  end)
end)

-- Is it XML that any parser takes? Fails where it is not; -> its elements.
local function parse_xml(text)
  local stack, elements, at = {}, {}, 1
  text = text:gsub("^<%?xml.-%?>%s*", "")
  while at <= #text do
    local first, stop, slash, name, rest, empty =
      text:find("^<(/?)([%a:]+)([^<>]-)(/?)>", at)
    if not first then
      first, stop = text:find("^[^<>]+", at)
      assert(first, "neither text nor an element: " .. text:sub(at, at + 20))
      local plain = text:sub(first, stop):gsub("&%a+;", "")
      assert(not plain:find "&", "a bare &")
    elseif slash == "/" then
      assert(table.remove(stack) == name, "not closed in order: " .. name)
    else
      local attributes = {}
      local left = rest:gsub('%s+([%a:-][%w:-]*)="([^"]*)"', function(k, v)
        assert(not attributes[k], "twice: " .. k)
        attributes[k] = v
        return ""
      end)
      assert(left == "", "no attributes: " .. left)
      elements[#elements + 1] = { name = name, attributes = attributes }
      if empty == "" then stack[#stack + 1] = name end
    end
    at = stop + 1
  end
  assert(#stack == 0, "not closed: " .. table.concat(stack, " "))
  return elements
end

local function of_name(elements, name)
  local found = {}
  for _, element in ipairs(elements) do
    if element.name == name then found[#found + 1] = element.attributes end
  end
  return found
end

describe("to_svg", function()
  after_each(helper.nothing_left)

  it("writes a picture and returns it", function()
    local path = os.tmpname()
    local picture = timer_of { 1, 2, 3 }:to_svg(path)
    local file = assert(io.open(path, "rb"))
    assert.equal(picture, file:read "*a")
    file:close()
    os.remove(path)
    assert.equal("svg", parse_xml(picture)[1].name)
  end)

  it("draws bars that stand for all times, inside the picture", function()
    math.randomseed(6)
    for _, draw in pairs(KINDS) do
      local list = {}
      for i = 1, 200 do list[i] = draw() end
      local picture = timer_of(list):to_svg()
      local elements = parse_xml(picture)
      local svg = elements[1].attributes
      for _, name in ipairs { "rect", "line", "text" } do
        for _, a in ipairs(of_name(elements, name)) do
          for _, x in ipairs { a.x or 0, a.x1 or 0, a.x2 or 0 } do
            assert.is_true(tonumber(x) >= 0
                           and tonumber(x) <= tonumber(svg.width))
          end
          for _, y in ipairs { a.y or 0, a.y1 or 0, a.y2 or 0 } do
            assert.is_true(tonumber(y) >= 0
                           and tonumber(y) <= tonumber(svg.height))
          end
        end
      end
      local sum = 0
      for count in picture:gmatch "<title>[^<]- to [^<]-: (%d+)</title>" do
        sum = sum + count
      end
      assert.equal(200, sum)
    end
  end)

  it("draws a bar as high as its count", function()
    local elements = parse_xml(timer_of { 1, 1, 1, 2 }:to_svg())
    local bars = of_name(elements, "rect")
    table.remove(bars, 1) -- the background
    assert.equal(2, #bars)
    close_to(3, bars[1].height / bars[2].height, "heights")
  end)

  it("does with no times and with one", function()
    assert.matches("no times", Timer():to_svg(), 1, true)
    parse_xml(Timer():to_svg())
    parse_xml(timer_of { 0 }:to_svg())
    parse_xml(timer_of { 1e-9 }:to_svg())
  end)

  it("does with the smallest difference and the largest times", function()
    for _, list in ipairs { { 0.1, 0.1 + 2 ^ -56 }, { 1, 1 + 2 ^ -52 },
                            { 2 ^ -1074, 1 }, { 1, 2 ^ 1000 },
                            { 0, 2 ^ -1074 }, { 2 ^ 900, 2 ^ 901 } } do
      local timer = timer_of(list)
      local picture = timer:to_svg()
      parse_xml(picture)
      assert.is_nil(picture:lower():find '="-?nan"')
      assert.is_nil(picture:lower():find '="-?inf"')
      for line in timer:report((printer())):gmatch "[^\n]+" do
        assert.is_true(#line < 100)
      end
    end
  end)

  it("takes any bytes for a title", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local title = table.concat(bytes) .. 'a <b> & "c" µ'
    local picture = timer_of { 1 }:to_svg(nil, { title = title })
    parse_xml(picture)
    assert.matches("a &lt;b&gt; &amp; &quot;c&quot; µ", picture, 1, true)
    assert.is_nil(picture:find "[%z\1-\9\11-\31]")
  end)

  it("raises when the file cannot be written", function()
    local ok, err = pcall(Timer().to_svg, Timer(), "/no/such/folder/a.svg")
    assert.is_false(ok)
    assert.is_true(errors.is(err, "Error"))
    assert.matches("cannot write the picture", err.message, 1, true)
    ok, err = pcall(Timer().to_svg, Timer(), 5)
    assert.is_false(ok)
    assert.equal("path", err.argument)
    ok, err = pcall(Timer().to_svg, Timer(), nil, { titel = "x" })
    assert.is_false(ok)
    assert.matches('did you mean "title"', err.message, 1, true)
  end)
end)
