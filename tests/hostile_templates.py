"""Templates that would hang or swell whoever rendered them."""

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = [ENDLESS, "{{ 'a' * 3000000000 }}", "{% set x = 'a' * 6000000000 %}{{ x }}"]
