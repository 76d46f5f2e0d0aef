"""Questions of ours: each with one that asks the same in other words, and with one that looks like it and asks another.

What a cache must find, and what it must not. Written for this project; no log's text is among them.
"""

from typing import NamedTuple


class Pair(NamedTuple):
    asked: str
    same: str
    other: str


_TEXT = """
How do I reset my password?
What are the steps to change a forgotten password?
How do I reset my router?

How can I cancel my subscription?
I want to stop my membership, what do I do?
How can I renew my subscription?

Where is my order?
Can you track the parcel I bought?
Where can I place an order?

What is the refund policy?
How do refunds work here?
What is the privacy policy?

How long does delivery to Canada take?
When will a package sent to Canada arrive?
How long does delivery to Japan take?

Do you ship to Brazil?
Is delivery to Brazil possible?
Do you ship from Brazil?

How do I turn on dark mode?
Where can I enable the dark theme?
How do I turn off dark mode?

Can I pay with PayPal?
Is PayPal accepted as a payment method?
Can I withdraw money to PayPal?

How do I export my data as CSV?
What is the way to download my data in CSV format?
How do I import data from a CSV?

Why was my card declined?
What is the reason my credit card payment failed?
Why was my card charged twice?

How do I add a user to my team?
What must I do to invite a colleague to our workspace?
How do I remove a user from my team?

What are your opening hours?
When are you open?
What are your opening positions for engineers?

How do I update my billing address?
Where do I change the address on my invoices?
How do I update my email address?

Is there a student discount?
Do students get a lower price?
Is there a discount for annual plans?

How much storage does the free plan have?
What is the storage limit on the free tier?
How much does the storage plan cost?

Summarise this contract in three points.
Give me a three-bullet summary of this agreement.
Summarise this contract in three pages.

Translate good morning into French.
How do you say good morning in French?
Translate good morning into Spanish.

What is the capital of Australia?
Which city is Australia's capital?
What is the capital of Austria?

Who wrote Pride and Prejudice?
Who is the author of Pride and Prejudice?
Who directed the film Pride and Prejudice?

How tall is Mount Everest?
What is the height of Mount Everest?
How old is Mount Everest?

What is the boiling point of water at sea level?
At what temperature does water boil at sea level?
What is the freezing point of water at sea level?

How do I convert Celsius to Fahrenheit?
What is the formula to get Fahrenheit from Celsius?
How do I convert Fahrenheit to Celsius?

What causes rain?
Why does it rain?
What causes acid rain?

How many days are there in a leap year?
A leap year has how many days?
How many leap years are there in a century?

Write a Python function that reverses a string.
In Python, code a function to turn a string backwards.
Write a Python function that sorts a string.

How do I undo the last git commit?
What git command reverts my most recent commit?
How do I amend the last git commit message?

How do I list all files in a directory in Linux?
Which Linux command shows every file in a folder?
How do I delete all files in a directory in Linux?

What does HTTP status 404 mean?
What is the meaning of a 404 response?
What does HTTP status 403 mean?

How do I join two tables in SQL?
What is the SQL syntax to combine rows of two tables?
How do I drop two tables in SQL?

How can I speed up my SQL query?
What makes a slow database query faster?
How can I stop my SQL query?

What is a Kubernetes pod?
Explain what a pod is in Kubernetes.
What is a Kubernetes node?

How do I scale a deployment to five replicas?
What command sets a deployment to 5 replicas?
How do I scale a deployment to zero replicas?

What is the difference between TCP and UDP?
How do TCP and UDP differ?
What is the difference between TCP and IP?

How do I install Docker on Ubuntu?
What are the steps to set up Docker on an Ubuntu machine?
How do I uninstall Docker on Ubuntu?

Why does my Python script raise a KeyError?
What makes my Python program fail with KeyError?
Why does my Python script raise a TypeError?

How do I make text bold in Markdown?
What is the Markdown for bold text?
How do I make text italic in Markdown?

Is ibuprofen safe with alcohol?
Can I drink alcohol while taking ibuprofen?
Is paracetamol safe with alcohol?

How much sleep does an adult need?
How many hours should a grown-up sleep?
How much sleep does a newborn need?

What are the symptoms of the flu?
How do I recognise influenza?
What are the treatments for the flu?

Can dogs eat chocolate?
Is chocolate safe for a dog?
Can dogs eat cheese?

How do I lower my blood pressure?
What can I do to bring my blood pressure down?
How do I raise my blood pressure?

What is the standard VAT rate in Germany?
How high is value added tax in Germany?
What is the standard VAT rate in France?

When is the tax return due?
What is the deadline for filing taxes?
When is the tax refund paid?

What was our revenue in the third quarter of 2025?
How much did we earn in Q3 2025?
What was our revenue in the third quarter of 2024?

Which region had the highest sales last month?
Where did we sell most last month?
Which region had the lowest sales last month?

How many customers left us in May?
What was the number of churned customers in May?
How many customers joined us in May?

Draft a polite email that declines a meeting.
Write a courteous message turning down a meeting.
Draft a polite email that accepts a meeting.

Suggest a title for an article about solar energy.
What could I call a piece on solar power?
Suggest a title for an article about wind energy.

Give me a vegetarian lasagne recipe.
How do I cook lasagne without meat?
Give me a beef lasagne recipe.

What can I cook with chicken and rice?
Ideas for a meal of rice and chicken?
What can I feed to chickens besides rice?

How do I get from the airport to the city centre?
What is the best way downtown from the airport?
How do I get from the city centre to the airport?

Is the museum open on Monday?
Can I visit the museum on a Monday?
Is the museum open on Sunday?

How do I book a table for two?
I would like to reserve a table for two people, how?
How do I cancel a table for two?

What is the cheapest flight to Rome in June?
In June, which flight to Rome costs least?
What is the cheapest flight from Rome in June?

Do I need a visa for Japan as a German?
As a German citizen, is a visa required to enter Japan?
Do I need a visa for Germany as a Japanese?

How do I contact support by phone?
What number do I call for help?
How do I contact support by email?

My laptop does not turn on.
The laptop will not start.
My laptop does not turn off.

The app crashes when I open a photo.
Opening a picture makes the app quit.
The app crashes when I delete a photo.

How do I increase the font size?
Where can I make the letters bigger?
How do I decrease the font size?

Can I use two accounts on one phone?
Is it possible to have two accounts on the same phone?
Can I use one account on two phones?
"""

PAIRS = tuple(Pair(*block.splitlines()) for block in _TEXT.strip().split("\n\n"))
