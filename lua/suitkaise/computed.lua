-- Fields that a class computes when they are read: one that is assigned would
-- hide what it computes, for good.

local errors = require "suitkaise.errors"

-- Makes a class refuse assignments to the fields in `names` (a set) and to its
-- methods; others are the user's. Also to the proxy of an object in a Share.
return function(class, names)
  local function check(key)
    if names[key] or class[key] ~= nil then
      errors.raise("ArgumentError", {
        message = class.__name .. ": " .. errors.show(key)
          .. (names[key] and " is computed" or " is a method")
          .. " and cannot be assigned",
        argument = key,
      }, "caller")
    end
  end

  function class.__newindex(self, key, value)
    check(key)
    rawset(self, key, value)
  end

  return function(_, key) check(key) end
end
