package hours_test

import (
	"fmt"
	"time"

	"handoff/internal/hours"
)

func Example() {
	minute := func(text string) hours.Minute {
		m, err := hours.ParseMinute(text)
		if err != nil {
			panic(err)
		}
		return m
	}
	workdays := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	newYear := hours.Date{Year: 2025, Month: time.January, Day: 1}

	taipei, err := hours.LoadZone("Asia/Taipei")
	if err != nil {
		panic(err)
	}
	schedule, err := hours.New(taipei, []hours.Rule{
		{Kind: hours.Weekly, Weekdays: workdays, Start: minute("09:00"), End: minute("12:00")},
		{Kind: hours.Weekly, Weekdays: workdays, Start: minute("10:00"), End: minute("12:00")},
		{Kind: hours.Weekly, Weekdays: workdays, Start: minute("13:00"), End: minute("18:00")},
		{Kind: hours.Exclusion, Date: newYear, Start: minute("00:00"), End: minute("24:00")},
	})
	if err != nil {
		panic(err)
	}

	now := time.Date(2024, time.December, 31, 19, 30, 0, 0, taipei)
	fmt.Println("open:", schedule.OpenAt(now))
	for _, w := range schedule.Windows(schedule.DateAt(now)) {
		fmt.Println("today:", w.From, "to", w.To)
	}
	if next, ok := schedule.NextOpening(now); ok {
		fmt.Println("opens:", next)
	}
	// Output:
	// open: false
	// today: 09:00 to 12:00
	// today: 13:00 to 18:00
	// opens: 2025-01-02 09:00:00 +0800 CST
}
