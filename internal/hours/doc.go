// Package hours says when a service is open: pure arithmetic of the calendar on
// rules, a time zone and an instant. Nothing here reads the present time.
//
// # The rules
//
// A [Schedule] has a time zone and at most [MaxRules] rules. A [Rule] is a window
// of the day, half-open: 09:00–12:00 holds 09:00:00 and 11:59:59, not 12:00:00.
//
//   - A [Weekly] rule opens on its weekdays, every week.
//   - A [Dated] rule opens on one date, besides what is open on it anyway.
//   - An [Exclusion] closes on one date. It wins over every rule that opens,
//     Dated ones too.
//   - The whole day is 00:00–24:00.
//   - A window that ends before it starts, such as 22:00–06:00, runs overnight.
//     It belongs to the day on which it starts; its second part lies on the next
//     date of the calendar. An overnight exclusion likewise.
//   - No rule that opens means always open, except for exclusions. Dated rules
//     that have passed still count: with nothing else, the service stays closed.
//   - Windows that overlap or touch are one window; others stay apart. On
//     2024-12-12, 09:00–12:00, 10:00–12:00, 13:00–18:00 and 15:00–17:00 give
//     09:00–12:00 and 13:00–18:00.
//
// # Clocks
//
// One sentence decides everything: an instant is open exactly when the date and
// time of day that the zone's clocks show at it lie in a window that opens, and
// in none that closes. Every other answer agrees with it, in every zone:
//
//   - An hour that the clocks skip is never open, for no clock shows it. A window
//     that starts in it starts with the first minute after it.
//   - An hour that the clocks repeat is open both times or neither time.
//   - The same goes for changes at midnight, of half an hour, and of a whole day:
//     where a date was skipped, its windows never were, although the second part
//     of its overnight window lies on the next date and counts there.
package hours
