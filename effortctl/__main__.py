"""`python -m effortctl` is the same as `effortctl`."""

from effortctl.cli import main

if __name__ == "__main__":
    main()
