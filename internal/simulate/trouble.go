package simulate

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// trouble is what goes wrong with the calls of the vendor's API.
type trouble struct {
	// Every: each how many-th call goes wrong; 1 = every one, 0 = none.
	Every int `json:"every"`
	// Times is how many calls go wrong before it is over; 0 = it is not over by itself.
	Times int `json:"times"`
	// Status is answered; 0 = the connection breaks.
	Status int `json:"status"`
	// Done: the call is carried out all the same, so that only its answer is lost.
	Done bool `json:"done"`
	// DelayMillis is how long every call takes, also those that go well.
	DelayMillis int `json:"delayMillis"`
}

func (t *trouble) validate() error {
	switch {
	case t.Every < 0 || t.Times < 0:
		return errors.New("every and times must not be negative")
	case t.Status != 0 && (t.Status < 300 || t.Status > 599):
		return errors.New("status must be 0, or from 300 to 599")
	case t.DelayMillis < 0 || t.DelayMillis > int(maxDelay/time.Millisecond):
		return errors.New("delayMillis must be from 0 to a minute")
	}
	return nil
}

// troubled is the vendor's API with trouble.
type troubled struct {
	desk Desk

	mu    sync.Mutex
	is    trouble
	calls int // since the trouble began
	went  int // of them, wrong
}

func (t *troubled) set(is trouble) error {
	if err := is.validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is, t.calls, t.went = is, 0, 0
	return nil
}

// next decides about one call.
func (t *troubled) next() (is trouble, wrong bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if t.is.Every == 0 || t.calls%t.is.Every != 0 || t.is.Times > 0 && t.went >= t.is.Times {
		return t.is, false
	}
	t.went++
	return t.is, true
}

func (t *troubled) state() (is trouble, went int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.is, t.went
}

func (t *troubled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	is, wrong := t.next()
	if is.DelayMillis > 0 {
		select {
		case <-time.After(time.Duration(is.DelayMillis) * time.Millisecond):
		case <-r.Context().Done():
		}
	}
	if !wrong {
		t.desk.ServeHTTP(w, r)
		return
	}
	if is.Done {
		t.desk.ServeHTTP(lost{http.Header{}}, r)
	}
	if is.Status == 0 {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	t.desk.Refuse(w, is.Status)
}

// lost takes an answer that nobody gets.
type lost struct{ header http.Header }

func (l lost) Header() http.Header       { return l.header }
func (lost) Write(b []byte) (int, error) { return len(b), nil }
func (lost) WriteHeader(int)             {}
