package hours

import (
	"time"

	"handoff/internal/fault"
)

// LoadZone finds a time zone by its IANA name, such as "Asia/Taipei" or "UTC".
// Anything else is an InvalidInput fault of the field "timeZone".
//
// It is stricter than [time.LoadLocation], which also takes the names of the
// machine's own zone and of the tables that count leap seconds.
func LoadZone(name string) (*time.Location, error) {
	// Every IANA name begins with a capital. The other files that zone
	// directories contain do not: localtime, posixrules, posix/…, right/….
	if name != "" && name[0] >= 'A' && name[0] <= 'Z' && name != "Local" {
		if location, err := time.LoadLocation(name); err == nil {
			return location, nil
		}
	}
	return nil, fault.Invalid("timeZone", "a time zone is an IANA name such as Asia/Taipei or UTC")
}
