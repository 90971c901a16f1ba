package hours_test

import (
	"archive/zip"
	_ "embed"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // so that every zone is there on any machine

	"github.com/stretchr/testify/require"

	"handoff/internal/hours"
)

// zoneNames is the table of contents of Go's zoneinfo.zip, one name a line.
//
//go:embed testdata/zones.txt
var zoneNames string

type zone struct {
	name     string
	location *time.Location
}

// allZones loads every zone of the tz database from the archive of the Go
// installation, which is what programs embed, or by name where there is none.
// The archive is preferred to the machine's own files because it describes
// present years by a repeating rule, and those files often by a list.
func allZones(t testing.TB) []zone {
	t.Helper()
	listed := strings.Fields(zoneNames)
	var zones []zone
	archive, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip")) //nolint:staticcheck // the test falls back where GOROOT is unknown
	if err != nil {
		for _, name := range listed {
			location, err := time.LoadLocation(name)
			require.NoError(t, err)
			zones = append(zones, zone{name, location})
		}
		return zones
	}
	defer func() { require.NoError(t, archive.Close()) }()
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		location, err := time.LoadLocationFromTZData(f.Name, data)
		require.NoError(t, err)
		zones = append(zones, zone{f.Name, location})
		require.True(t, slices.Contains(listed, f.Name), "testdata/zones.txt must name every zone of this Go release, also %s", f.Name)
	}
	return zones
}

// change is a change of the clocks, from one offset east of UTC to another.
type change struct {
	at       time.Time
	from, to int // seconds
}

// dates gives the dates that the clocks show just before and just after the
// change, the earlier one first, as 00:00 UTC.
func (c change) dates() (first, last time.Time) {
	midnight := func(reading time.Time) time.Time {
		y, m, d := reading.Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	first = midnight(c.at.Add(time.Duration(c.from)*time.Second - time.Minute))
	last = midnight(c.at.Add(time.Duration(c.to) * time.Second))
	if last.Before(first) {
		return last, first
	}
	return first, last
}

// changesBetween finds the clock changes of the years by comparing the offset
// from week to week, as far as offsets are whole minutes.
func changesBetween(location *time.Location, firstYear, lastYear int) []change {
	offset := func(t time.Time) int {
		_, seconds := t.In(location).Zone()
		return seconds
	}
	var changes []change
	week := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
	from := offset(week)
	for ; week.Year() <= lastYear; week = week.AddDate(0, 0, 7) {
		to := offset(week.AddDate(0, 0, 7))
		if to != from && to%60 == 0 && from%60 == 0 {
			minute := sort.Search(7*minutesPerDay, func(i int) bool {
				return offset(week.Add(time.Duration(i)*time.Minute)) != from
			})
			changes = append(changes, change{week.Add(time.Duration(minute) * time.Minute), from, to})
		}
		from = to
	}
	return changes
}

// seeded gives the same random numbers for the same zone in every run.
func seeded(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

var endOfLeapYear = time.Date(2024, 12, 31, 0, 0, 0, 0, time.UTC)

// TestEveryZone holds the schedule against the oracle in every zone of the tz
// database, each time with other rules: at a clock change of the years 2024 to
// 2027 and at an earlier one. Of the zones whose clocks agree in those years, one
// is also tried at every change, at a far one and at the end of a leap year.
func TestEveryZone(t *testing.T) {
	t.Parallel()
	zones := allZones(t)
	require.Greater(t, len(zones), 500)

	type job struct {
		zone
		changes  []change
		thorough bool
	}
	var jobs []job
	seen := map[string]bool{}
	for _, z := range zones {
		changes := changesBetween(z.location, 2024, 2027)
		_, offset := endOfLeapYear.In(z.location).Zone()
		clocks := fmt.Sprint(offset, changes)
		jobs = append(jobs, job{z, changes, !seen[clocks]})
		seen[clocks] = true
	}
	for some := range slices.Chunk(jobs, 50) {
		t.Run(some[0].name+" and on", func(t *testing.T) {
			t.Parallel()
			for _, j := range some {
				random := seeded(j.name)
				changes := j.changes
				if j.thorough {
					changes = append(changes, pick(random, changesBetween(j.location, 2038, 2042))...)
				} else {
					changes = pick(random, changes)
				}
				changes = append(changes, pick(random, changesBetween(j.location, 1973, 2023))...)
				for _, c := range changes {
					first, last := c.dates()
					requireAgreement(t, j.location, randomRules(random, first), first, last)
				}
				if j.thorough || len(changes) == 0 {
					requireAgreement(t, j.location, randomRules(random, endOfLeapYear), endOfLeapYear, endOfLeapYear)
				}
			}
		})
	}
}

// pick gives one of the changes, or none of none.
func pick(random *rand.Rand, changes []change) []change {
	if len(changes) == 0 {
		return nil
	}
	i := random.IntN(len(changes))
	return changes[i : i+1 : i+1]
}

// TestStrangeDays looks longer at the changes that break naive arithmetic.
func TestStrangeDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, date, why string }{
		{"Pacific/Apia", "2011-12-30", "date skipped"},
		{"Pacific/Fakaofo", "2011-12-30", "date skipped"},
		{"Pacific/Kwajalein", "1993-08-21", "date skipped"},
		{"Pacific/Kiritimati", "1994-12-31", "date skipped"},
		{"America/Sao_Paulo", "2018-11-04", "forward at 00:00"},
		{"America/Sao_Paulo", "2018-02-17", "back at 24:00"},
		{"Asia/Beirut", "2025-03-30", "forward at 00:00"},
		{"Asia/Beirut", "2025-10-25", "back at 24:00"},
		{"Africa/Cairo", "2025-04-25", "forward at 00:00"},
		{"Africa/Cairo", "2025-10-30", "back at 24:00"},
		{"America/Havana", "2026-03-08", "forward at 00:00"},
		{"America/St_Johns", "2010-03-14", "forward at 00:01"},
		{"America/St_Johns", "2010-11-07", "back at 00:01, to the date before"},
		{"America/Scoresbysund", "2024-03-31", "zone and summer time at once"},
		{"America/Nuuk", "2025-10-25", "back on Saturday evening"},
		{"Antarctica/Troll", "2025-03-30", "two hours forward"},
		{"Antarctica/Troll", "2025-10-26", "two hours back"},
		{"Australia/Lord_Howe", "2025-10-05", "half an hour forward"},
		{"Australia/Lord_Howe", "2025-04-06", "half an hour back"},
		{"America/Caracas", "2007-12-09", "half an hour back for good"},
		{"Asia/Pyongyang", "2018-05-04", "half an hour forward for good"},
		{"Asia/Kathmandu", "1985-12-31", "a quarter of an hour"},
		{"Africa/Casablanca", "2025-02-23", "back for Ramadan"},
		{"Europe/Dublin", "2025-10-26", "negative summer time"},
		{"America/New_York", "2096-12-31", "last day of a leap year, by a repeating rule"},
	} {
		t.Run(c.zone+" "+c.date+" "+c.why, func(t *testing.T) {
			t.Parallel()
			location, err := hours.LoadZone(c.zone)
			require.NoError(t, err)
			day, err := time.Parse(time.DateOnly, c.date)
			require.NoError(t, err)
			random := seeded(c.zone + c.date)
			for range 5 {
				requireAgreement(t, location, randomRules(random, day), day.AddDate(0, 0, -1), day.AddDate(0, 0, 1))
			}
		})
	}
}

func TestLoadZone(t *testing.T) {
	t.Parallel()
	for _, name := range strings.Fields(zoneNames) {
		location, err := hours.LoadZone(name)
		require.NoError(t, err, name)
		require.Equal(t, name, location.String())
	}
	for _, name := range []string{
		"", "Local", "localtime", "posixrules", "right/Europe/Berlin", "posix/Europe/Berlin",
		"Europe/Atlantis", "../etc/passwd", "/etc/localtime", "+02:00", strings.Repeat("A", 10_000),
	} {
		_, err := hours.LoadZone(name)
		requireInvalid(t, err, "timeZone", "IANA")
	}
}
