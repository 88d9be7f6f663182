-- Any bytes at all: a value or a DeserializationError, nothing else.
local cerial = require "suitkaise.cerial"
local errors = require "suitkaise.errors"
local helper = require "spec.cerial_helper"
local mutate = require "spec.fuzz.mutate"

local HEADER = "\167SK\1"
local ROUNDS = 20000

local function refuses(bytes, given)
  return helper.error_of("DeserializationError", cerial.deserialize, bytes,
                         given)
end

-- Kilobytes that are in use at most, above what was before, while fn runs.
local function memory_of(fn)
  collectgarbage()
  collectgarbage()
  collectgarbage "stop"
  local before = collectgarbage "count"
  fn()
  local used = collectgarbage "count" - before
  collectgarbage "restart"
  collectgarbage()
  return used
end

helper.each_way(function(way, use)
  describe("hostile bytes " .. way, function()
    setup(use)

    it("are refused when they are not cerial's", function()
      for _, bytes in ipairs { "", "x", "\167SK", "return 1", "{}",
                               ("\0"):rep(100) } do
        refuses(bytes)
      end
    end)

    it("are refused when they are of a later version", function()
      local err = refuses("\167SK\2\0")
      assert.matches("version 2", err.message, 1, true)
    end)

    it("are refused when anything is cut off", function()
      local bytes = cerial.serialize {
        1, 2.5, "hello", { a = { 1 }, b = "hello" }, ("x"):rep(100),
        [1.5] = true, list = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
      }
      for n = 0, #bytes - 1 do refuses(bytes:sub(1, n)) end
    end)

    it("are refused when there are more", function()
      assert.matches("more bytes",
        refuses(cerial.serialize { 1 } .. "\0").message, 1, true)
    end)

    it("are refused for every unknown tag", function()
      for tag = 251, 255 do refuses(HEADER .. string.char(tag)) end
    end)

    it("claim lengths in vain", function()
      local huge = "\255\255\255\255\127"
      local function claim(bytes)
        return memory_of(function() refuses(HEADER .. bytes) end)
      end
      assert.is_true(claim("\222" .. huge .. "abc") < 64) -- string
      assert.is_true(claim("\208" .. huge .. "\0abc") < 64) -- items
      assert.is_true(claim("\208\0" .. huge .. "abc") < 64) -- pairs
      assert.is_true(claim("\208\3\0\241" .. huge .. "abc") < 64) -- run
      assert.is_true(claim("\208" .. ("\255"):rep(20)) < 64)
    end)

    it("claim lengths in vain a thousand times over", function()
      -- each table says that all bytes that are left are its items
      local parts, left = {}, 30000
      for _ = 1, 5000 do
        left = left - 4
        parts[#parts + 1] = "\208" .. string.char(128 + left % 128)
          .. string.char(math.floor(left / 128) % 128 + 128)
          .. string.char(math.floor(left / 16384)) .. "\0"
      end
      local bytes = HEADER .. table.concat(parts) .. ("\0"):rep(5000)
      assert.is_true(memory_of(function() refuses(bytes) end) < 1024)
    end)

    it("nest deeply without harm", function()
      for _, tag in ipairs { "\193", "\97\4", "\97", "\212", "\210\1\0" } do
        local bytes = HEADER .. tag:rep(200000)
        local kilobytes = memory_of(function() refuses(bytes) end)
        assert.is_true(kilobytes < #bytes / 1024 * 250 + 1024)
        pcall(cerial.deserialize, HEADER .. tag:rep(100000) .. "\233")
      end
    end)

    it("cost memory in proportion", function()
      local bytes = HEADER .. "\208\160\141\6\0" .. ("\96"):rep(100000)
      local kilobytes = memory_of(function() cerial.deserialize(bytes) end)
      assert.is_true(kilobytes < #bytes / 1024 * 100)
    end)

    it("have no keys that are nil or NaN", function()
      refuses(HEADER .. "\97\233\4")
      refuses(HEADER .. "\97\241\0\0\0\0\0\0\248\127\4")
      refuses(HEADER .. "\97\240\0\0\192\127\4")
    end)

    it("hold NaNs of any bits as NaN", function()
      local odd = "\1\0\0\0\0\0\255\255"
      local list = cerial.deserialize(HEADER .. "\208\8\0\249\8" .. odd:rep(8))
      for i = 1, 8 do assert.is_true(list[i] ~= list[i]) end
      local one = cerial.deserialize(HEADER .. "\193\241" .. odd)
      assert.is_true(one[1] ~= one[1])
    end)

    it("refer to nothing that was not sent", function()
      refuses(HEADER .. "\231\0")
      refuses(HEADER .. "\194\96\231\1") -- sent, but not shared
      refuses(HEADER .. "\128")
      refuses(HEADER .. "\194\33x\128")
      refuses(HEADER .. "\231" .. ("\255"):rep(9) .. "\1")
      refuses(HEADER .. "\232" .. ("\255"):rep(9) .. "\1")
    end)

    it("run no code untrusted", function()
      local function danger() _G.pwned = true end
      refuses(cerial.serialize(danger))
      refuses(cerial.serialize { os.execute })
      refuses(cerial.serialize { os = os, f = danger })
      refuses(HEADER .. "\217\38os:exit")
      refuses(HEADER .. "\221\34io")
      refuses(HEADER .. "\226")
      refuses(HEADER .. "\210\0\0\96") -- a metatable by value
      refuses(HEADER .. "\210\0\0\112\231\0")
      refuses(HEADER .. "\212\96\96") -- a hook of a class by value
      assert.is_nil(rawget(_G, "pwned"))
    end)

    it("do not get old bytes", function()
      cerial.deserialize(cerial.serialize "password=hunter2")
      local err = refuses(HEADER .. "\63A")
      assert.is_nil(tostring(err):find("hunter2", 1, true))
    end)

    it("that were changed at random give a value or an error", function()
      local random = mutate.generator(42)
      local seeds = mutate.seeds()
      for i = 1, ROUNDS do
        local bytes = mutate.change(seeds[i % #seeds + 1], random)
        local ok, err = pcall(cerial.deserialize, bytes)
        if not ok and not errors.is(err, "DeserializationError") then
          error(("%q: %s"):format(bytes, tostring(err)))
        end
        pcall(cerial.to_json, bytes)
      end
    end)
  end)
end)
