-- What a report does to a delivery: the table of state x event -> state. Reports name the attempt they are about. A
-- report for another attempt changes nothing, except that "it was taken" (s, d) is evidence whatever came after.
-- Ranks only move up.
--
-- Outcomes: s sent, d delivered, f failed (the value is the provider's code), x suppressed: nothing was sent, u unknown,
-- r retry later (spends a try), n not sent (spends no try), p one part of several was sent (the value is the progress).
local FINAL_OF = { s = SENT, d = DELIVERED, f = FAILED, x = SUPPRESSED }
local BACK = { r = true, n = true, p = true }
local EVIDENCE = {
  s = { [PENDING] = true, [SENDING] = true, [UNRESOLVED] = true, [UNKNOWN] = true, [EXPIRED] = true, [CANCELLED] = true },
  d = {
    [PENDING] = true, [SENDING] = true, [UNRESOLVED] = true, [UNKNOWN] = true, [EXPIRED] = true, [CANCELLED] = true,
    [SENT] = true, [FAILED] = true, [SUPPRESSED] = true,
  },
}

-- Was attempt k ever begun on a delivery whose last attempt is q? (Attempts wrap at 256.)
local function was_begun(k, q)
  return k ~= q and (q - k) % 256 < 128
end

-- Makes a delivery pending again: the value is a wait in ms from now (r, n) or the progress (p).
local function put_back(parcel, i, delivery, state, outcome, reason, value)
  local _, attempt, flags = byte(delivery, 1, 3)
  local order = parcel.order
  local secs, kept
  if outcome == 'p' then
    flags = flags % TOKEN + TOKEN
    secs, kept = since_due(order), p32(value)
  elseif flags >= TOKEN then
    -- The token stays, so the wait replaces the moment of the last change, in whole seconds.
    local s = math.max(0, math.min(16777215, math.ceil((now + value - order.due) / 1000)))
    secs, kept = char(floor(s / 65536), floor(s / 256) % 256, s % 256), sub(delivery, 9, 12)
  else
    secs, kept = since_due(order), value > 0 and wait_value(order, now + value) or '\0\0\0\0'
  end
  if outcome == 'r' and flags % 16 < 15 then
    flags = flags + 1
  end
  put_delivery(parcel, i, state, PENDING, attempt, flags, p16(reason) .. secs .. kept)
end

-- Ends delivery i as a report on its last attempt says; `reason` and `code` are packed. A failed delivery keeps the
-- provider's code in place of its token: it is never sent again.
local function put_final(parcel, i, delivery, from, to, reason, code)
  local _, attempt, flags = byte(delivery, 1, 3)
  local kept = sub(delivery, 9, 12)
  if to == FAILED then
    flags, kept = flags % TOKEN, code
  end
  put_delivery(parcel, i, from, to, attempt, flags, reason .. since_due(parcel.order) .. kept)
end

-- Applies one settled report. `current`: the reporter holds the parcel's lease. Returns a (applied), e (accepted as
-- evidence), n (nothing new), s (stale: refused).
local function settle_delivery(parcel, i, k, outcome, reason, value, current)
  local delivery = delivery_at(parcel, i)
  local s, q, flags = byte(delivery, 1, 3)
  local state = s - DELIVERY_VERSION
  local to = FINAL_OF[outcome]
  if k == q and ((state == SENDING and current) or state == UNRESOLVED or (state == UNKNOWN and to)) then
    if to then
      put_final(parcel, i, delivery, state, to, p16(reason), p32(value))
    elseif BACK[outcome] then
      put_back(parcel, i, delivery, state, outcome, reason, value)
    elseif state == SENDING then
      -- Unknown keeps the moment of its begin: a resolver needs the age of the attempt.
      put_delivery(parcel, i, state, UNRESOLVED, q, flags, p16(reason) .. sub(delivery, 6, 12))
    else
      return 'n'
    end
    return 'a'
  end
  local evidence = EVIDENCE[outcome]
  if evidence and evidence[state] and delivery ~= FRESH and (was_begun(k, q) or (k == q and state ~= SENDING)) then
    put_delivery(parcel, i, state, to, q, flags % TOKEN, p16(reason) .. since_due(parcel.order) .. '\0\0\0\0')
    return 'e'
  end
  if k == q or was_begun(k, q) and to and state == to then
    return 'n'
  end
  return 's'
end
