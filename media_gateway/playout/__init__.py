"""One party's packets -> frames of 20 ms: in order, what is lost concealed, no later than the line asks for."""
